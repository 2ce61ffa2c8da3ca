"""A token of SoftHSM, Debian's PKCS#11 module in software."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pkcs11
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

MODULE = os.environ.get("SOFTHSM2_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"
LABEL = "remote-settings"


class Token:
    """A token with one key pair. The module reads its configuration once for each process."""

    def __init__(self, directory: Path, name: str, curve: str = "secp384r1") -> None:
        self.name = name
        configuration = directory / "softhsm2.conf"
        if not configuration.exists():
            (directory / "tokens").mkdir()
            configuration.write_text(f"directories.tokendir = {directory / 'tokens'}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        command = ["softhsm2-util", "--module", MODULE, "--init-token", "--free"]
        subprocess.run(
            [*command, "--label", name, "--so-pin", "12345678", "--pin", PIN],
            check=True,
            capture_output=True,
            timeout=60,
        )
        library = pkcs11.lib(MODULE)
        library.reinitialize()
        with library.get_token(token_label=name).open(rw=True, user_pin=PIN) as session:
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC,
                {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)},
                local=True,
            )
            public, _ = parameters.generate_keypair(store=True, label=LABEL)
            key = serialization.load_der_public_key(encode_ec_public_key(public))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.public_key = key
