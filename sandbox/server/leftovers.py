"""What servers that were killed have left in the folder of endpoints.

Files only: the kernel ends a slot's processes with the server's, and with them their mounts.
"""

from __future__ import annotations

from pathlib import Path

from sandbox.endpoint import UNIX_PREFIX, EndpointRecord, endpoints, locked, remove_strays, withdraw
from sandbox.server.listening import is_dead_socket


def sweep(folder: Path) -> list[EndpointRecord]:
    """Removes the files of servers that are gone: endpoint, token and socket. Those servers.

    Raises:
        OSError: something cannot be removed.
    """
    with locked(folder):
        dead = [endpoint for endpoint in endpoints(folder) if endpoint.is_dead]
        for endpoint in dead:
            url = endpoint.record.url
            if url.startswith(UNIX_PREFIX) and is_dead_socket(path := Path(url.removeprefix(UNIX_PREFIX))):
                path.unlink(missing_ok=True)
            withdraw(folder, endpoint.path.stem)
        remove_strays(folder)
        return [endpoint.record for endpoint in dead]
