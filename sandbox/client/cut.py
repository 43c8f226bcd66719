"""How much of a batch the next request has."""

from __future__ import annotations

import math
from collections import deque

from sandbox.client.server import Server
from sandbox.client.work import Item

_MOST = 256
_MOST_BYTES = 4 << 20


def cut(todo: deque[Item], server: Server, room: int, all_workers: int) -> list[Item]:
    """Takes the next request's submissions from those to be sent, at least one.

    The server's share of them, and so less and less as the end comes near: all servers end together. Source: guided
    self-scheduling (Polychronopoulos and Kuck, 1987).

    Args:
        todo: not empty.
        server: whom they are for.
        room: how many it may have more.
        all_workers: slots of all servers.
    """
    share = math.ceil(len(todo) * server.workers / all_workers)
    most = min(room, share, _MOST, server.most_items)
    most_bytes = min(_MOST_BYTES, server.most_bytes // 2)
    items = [todo.popleft()]
    size = len(items[0].body)
    while todo and len(items) < most:
        size += len(todo[0].body) + 1
        if size > most_bytes or (todo[0].failed_by is server) != (items[0].failed_by is server):
            break
        items.append(todo.popleft())
    return items
