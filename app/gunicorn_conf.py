"""gunicorn's settings. Start it in this folder: `python3 -m gunicorn --config gunicorn_conf.py`."""

import os
import tempfile

from todo.config import SettingsError, listen_address, load_settings, worker_count

wsgi_app = "todo:create_app()"
# The app is made once, in the master. The workers that it forks so share a random secret key;
# with a key each they would refuse one another's form tokens. The app opens no connection while
# it is made, so none is carried over the fork.
preload_app = True

try:
    bind = listen_address(os.environ)
    workers = worker_count(os.environ)
    load_settings(os.environ)  # a mistake in any of the others is one line too, and no traceback
except SettingsError as error:
    raise SystemExit(f"todo: {error}") from None

threads = 4
# Seconds. The first is for a worker that hangs, the second for requests when a stop is asked.
timeout = 15
graceful_timeout = 10
keepalive = 5

accesslog = "-"
errorlog = "-"
loglevel = "info"

# The heartbeat files. The root file system is read-only; memory is better than a disk here,
# because a slow disk would make a healthy worker look dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()  # noqa: S108  # nosec B108
# gunicorn would open a control socket under $HOME, which cannot be written in the image.
control_socket_disable = True
