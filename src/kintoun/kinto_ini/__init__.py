"""An existing Kinto ini, and Kinto's environment, as our settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kintoun.kinto_ini import table
from kintoun.kinto_ini.features import FeatureKeys
from kintoun.kinto_ini.reading import apply_environment, read
from kintoun.kinto_ini.translation import Note, Translation, Translator, plain

__all__ = ["Note", "Translation", "plain", "translate"]


def translate(path: Path, environ: Mapping[str, str], data: Path | None = None) -> Translation:
    """The settings of a Kinto ini with the environment on top; raises ConfigError.

    Kinto's memory backend becomes the file `kintoun.sqlite` in `data` (default: the working directory).
    """
    ini = read(path)
    keys = FeatureKeys()
    known = [*table.SETTINGS, *table.OF_TRANSLATION, *table.PRINCIPALS, *keys.names()]
    apply_environment(ini, environ, known)
    texts = {key: entry.text for key, entry in ini.application.items()}
    unknown = apply_environment(ini, environ, [*known, *keys.names_by(texts)])
    translation = Translator(ini, keys, data).translate()
    translation.notes += [
        Note("lost", f"environment {name}", "is no key that this server knows") for name in unknown
    ]
    return translation
