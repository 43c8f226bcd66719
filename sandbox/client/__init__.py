"""The sandbox of one or many servers, as a Python object."""

from sandbox.client.asynchronous import AsyncSandboxClient
from sandbox.client.blocking import SandboxClient

__all__ = ["AsyncSandboxClient", "SandboxClient"]
