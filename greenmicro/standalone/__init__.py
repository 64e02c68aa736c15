"""Calls and events from programs that are no services: scripts, shells, web applications."""

from greenmicro.standalone.client import Client

__all__ = ['Client']
