"""Names and certificates in the static binary: a real name server, real brokers, and servers with TLS."""

import re
import socket
import ssl
import threading

from stage import CACHE, READY, Broken, Process, body, config, post, run, serving, wait_until

SERVICE = "broker.ns.svc.cluster.local"
# what a configuration may say, and what is asked of the name server first and last
NAMES = {
    "broker": (SERVICE, SERVICE),
    "broker.ns": ("broker.ns.ns.svc.cluster.local", SERVICE),
    f"{SERVICE}.": (SERVICE, SERVICE),
}
KAFKA = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=PLAINTEXT://{name}:9092
controller.listener.names=CONTROLLER
log.dirs={folder}/kafka
offsets.topic.replication.factor=1
"""


class NameServer:
    """dnsmasq, which knows the broker alone and writes down what it is asked."""

    def __init__(self, folder):
        self.log = folder / "dnsmasq.log"
        words = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file",
                 "--listen-address=127.0.0.1", "--bind-interfaces", "--log-queries", "--log-facility=-",
                 "--local=/local/", "--local=/invalid/", f"--host-record={SERVICE},127.0.0.1"]
        self.process = Process(["dnsmasq", *words], 53, self.log)

    def asked(self):
        return re.findall(r"query\[A\] (\S+) from", self.log.read_text())


def kafka(folder):
    properties = folder / "kafka.properties"
    properties.write_text(KAFKA.format(name=SERVICE, folder=folder))
    java = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m", "-cp", f"{CACHE / 'kafka/lib'}/*"]
    run([*java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", properties])
    return Process([*java, "kafka.Kafka", properties], 9092, folder / "kafka.log", cwd=folder)


def nats_section(name):
    return f'[nats]\nservers = ["nats://{name}:4222"]\n'


def kafka_section(name, more=""):
    return f'[kafka]\nbootstrap_servers = ["{name}:9092"]\n{more}'


def stores(root, folder, section):
    """Runs a bridge until it has stored one notification in its broker."""
    root.settings(config(section))
    wait_until(f"provision, {section}", lambda: root.run(["provision"])[0] == 0, 60)
    bridge = serving(root.command([]), folder / "bridge.log")
    wait_until("ready", lambda: root.run(["check", "--ready", READY])[0] == 0)
    answer = post(body(1))
    bridge.stop()
    if answer not in ((200, '{"stored":"broker"}'), (200, '{"stored":"duplicate"}')):
        raise Broken(f"{section}: answered {answer}")


def resolve(root, folder, say):
    """Each name leads to its broker, asked for as Kubernetes' resolv.conf says."""
    server = NameServer(folder)
    brokers = {"NATS": nats_section, "Kafka": kafka_section}
    java = kafka(folder)
    for name, (first, last) in NAMES.items():
        for title, section in brokers.items():
            before = len(server.asked())
            stores(root, folder, section(name))
            asked = server.asked()[before:]
            if not asked or asked[0] != first or last not in asked:
                raise Broken(f"{title}, {name}: the name server was asked for {asked}")
            say(f"{title} at {name}")
    java.stop()
    before = len(server.asked())
    stores(root, folder, nats_section("only-in-hosts"))
    if len(server.asked()) > before:
        raise Broken("a name in /etc/hosts went to the name server")
    say("NATS at a name in /etc/hosts, without a question to the name server")
    # a service whose library belongs to another glibc would end the process
    root.write("etc/nsswitch.conf", "hosts: myhostname\n")
    stores(root, folder, nats_section("broker"))
    say("NATS at broker, whatever /etc/nsswitch.conf says")
    for title, section in brokers.items():
        root.settings(config(section("nobody.invalid")))
        code, said = root.run(["check"])
        wrong = next((line for line in said.splitlines() if line.startswith("✗")), "")
        if code != 1 or "nobody.invalid" not in wrong or "resolve" not in wrong:
            raise Broken(f"{title} at a name that does not exist: exit code {code}\n{said}")
        say(f"{title} at a name that does not exist: {wrong}")


class Authority:
    """A test authority, and a server's certificate of it."""

    def __init__(self, folder):
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 9]
        run([*new, "-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", folder / "ca.key",
             "-out", self.ca])
        run([*new, "-subj", "/CN=server", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-CA", self.ca, "-CAkey", folder / "ca.key",
             "-keyout", self.key, "-out", self.certificate])


class TlsServer:
    """Says ready to any request, and writes down how each handshake ended."""

    def __init__(self, authority, port):
        self.handshakes = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.serve, args=(listener, context), daemon=True).start()

    def serve(self, listener, context):
        while True:
            connection, _ = listener.accept()
            connection.settimeout(5)
            try:
                secure = context.wrap_socket(connection, server_side=True)
                # with TLS 1.3 a client that does not trust the server says so after the handshake
                is_http = secure.recv(4096).startswith(b"GET ")
                self.handshakes.append("trusted")
                if is_http:
                    body = b'{"ready":true}'
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                secure.close()
            except OSError as error:
                self.handshakes.append(str(error))


def trust(root, folder, say):
    """The certificates of the image, and no others, are the authorities for https and for Kafka."""
    authority, bundle = Authority(folder), "etc/ssl/certs/ca-certificates.crt"
    https, secure_kafka = TlsServer(authority, 8443), TlsServer(authority, 9092)
    ready = ["check", "--ready", "https://localhost:8443/readyz"]
    root.settings(config(kafka_section("localhost", 'properties = { "security.protocol" = "SSL" }\n')))
    public = (root.folder / bundle).read_text()
    for added, expected in (("", False), (authority.ca.read_text(), True)):
        root.write(bundle, public + added)
        https.handshakes.clear()
        secure_kafka.handshakes.clear()
        code, said = root.run(ready)
        if (code == 0) != expected:
            raise Broken(f"https, its authority is {'' if added else 'not '}in the image: {said}")
        # it has several TLS connections at the same time, and here none finds a broker behind it
        code, said = root.run(["check"])
        if code != 1:
            raise Broken(f"check ends with {code}: {said}")
        if ("trusted" in secure_kafka.handshakes) != expected or not secure_kafka.handshakes:
            raise Broken(f"Kafka, its authority is {'' if added else 'not '}in the image: {secure_kafka.handshakes}")
    root.write(bundle, public)
    say("https and Kafka trust the certificates in the image, and no others")
