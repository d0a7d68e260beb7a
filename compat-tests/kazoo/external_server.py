"""pytest plugin: lets kazoo's own test suite run against a server that is already there.

kazoo.testing starts Java servers itself and needs pyOpenSSL and pyjks for that. This puts another
cluster in its place, before it is imported: three addresses, all of them proxies to $ZK_HOSTS, so
that a test may stop and start "a server" of its cluster without touching the real one.
"""

import atexit
import os
import subprocess
import sys
import types

MEMBERS = 3


class Server:
    """One address of the cluster, as kazoo's tests use ManagedZooKeeper."""

    def __init__(self, proxy, number, port):
        self.proxy = proxy
        self.number = number
        self.address = f"127.0.0.1:{port}"
        self.client_port = port
        self.running = True

    def _tell(self, verb):
        self.proxy.stdin.write(f"{verb} {self.number}\n")
        self.proxy.stdin.flush()
        assert self.proxy.stdout.readline() == "ok\n"

    def run(self):
        self._tell("run")
        self.running = True

    def stop(self):
        self._tell("stop")
        self.running = False


class Cluster:
    """kazoo.testing.common.ZookeeperCluster, without the servers."""

    def __init__(self, **_options):
        host, _, port = os.environ["ZK_HOSTS"].split(",")[0].rpartition(":")
        script = os.path.join(os.path.dirname(__file__), "proxy.py")
        self.proxy = subprocess.Popen([sys.executable, script, host, port, str(MEMBERS)], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        atexit.register(self.proxy.kill)
        ports = self.proxy.stdout.readline().split()
        self.servers = [Server(self.proxy, number, int(port)) for number, port in enumerate(ports)]

    def __getitem__(self, number):
        return self.servers[number]

    def __iter__(self):
        return iter(self.servers)

    def start(self):
        for server in self.servers:
            server.run()

    def terminate(self):
        """Called after each test class. The server stays."""

    def reset(self):
        self.start()

    def get_logs(self):
        return []

    def get_ssl_client_configuration(self):
        raise RuntimeError("the server under test has no TLS port")


common = types.ModuleType("kazoo.testing.common")
common.ZookeeperCluster = Cluster
sys.modules["kazoo.testing.common"] = common
