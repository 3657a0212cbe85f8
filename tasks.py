"""The tasks of this repository: the flow of Lockgate, and its own tests."""

from lockgate.tasks import namespace

ns = namespace()
