"""GET /permissions: everything that the caller has a permission on (protocol section 8.6).

The entries are not stored anywhere: they are what the ACLs, the settings and the caller's principals come to.
The database selects, filters and sorts them (`select`), Python builds those of one page (`entries`).
"""

from __future__ import annotations

from typing import Any

from kintoun.features.permissions.listing import get_permissions
from kintoun.http.routing import Endpoint
from kintoun.plugin import Plugin, Registry


class PermissionsEndpoint(Plugin):
    """The list of what one may do."""

    name = "permissions"

    def setup(self, registry: Registry, settings: Any) -> None:
        methods = {"HEAD": get_permissions, "GET": get_permissions}
        registry.endpoint(Endpoint("permissions-plural", "/permissions", methods, resource=True))
        registry.capability(
            "permissions_endpoint",
            "The permissions endpoint can be used to list all user objects permissions.",
            f"{registry.settings.project.docs}reference/permissions/",
        )
