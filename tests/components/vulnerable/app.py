"""The greeting of a service that nobody has updated for years. Scanned, never started."""

import urllib3
from flask import Flask

application = Flask(__name__)


@application.route("/")
def greet():
    """Say which version this is, and of the HTTP library that came along."""
    return "Hello from v0, urllib3 " + urllib3.__version__
