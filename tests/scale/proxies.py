"""HAProxy and nginx with the configuration that docs/scale.md and docs/tls.md show; plain HTTP, on this machine."""

import re

from environment import ROOT, Broken, Process, free_port


def block(page, heading, language):
    """The one block of this language under this heading of a page."""
    sections = re.split(r"^(#{2,3} .*)\n", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)
    [text] = [body for title, body in zip(sections[1::2], sections[2::2], strict=True) if title.lstrip("# ") == heading]
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        raise Broken(f"docs/{page} has {len(blocks)} blocks of {language} under {heading}")
    [(indent, code)] = blocks
    return re.sub(f"^{indent}", "", code, flags=re.MULTILINE)


def replaced(text, changes):
    """The text with these changes; what is replaced must stand there once."""
    for before, after in changes.items():
        if text.count(before) != 1:
            raise Broken(f"{before!r} stands {text.count(before)} times in the configuration:\n{text}")
        text = text.replace(before, after)
    return text


def without_lines(text, *starts):
    """The text without the lines that begin so; each must be there once."""
    for start in starts:
        text, count = re.subn(rf"^ *{re.escape(start)}.*\n", "", text, flags=re.MULTILINE)
        if count != 1:
            raise Broken(f"{count} lines begin with {start!r}:\n{text}")
    return text


class Server:
    """What the proxy passes requests to: `port`, and where it is asked whether it is ready."""

    def __init__(self, name, number, port, probes=None):
        self.name, self.number, self.port, self.probes = name, number, port, probes


class Proxy:
    """A proxy; `configure` writes its configuration, `reload` has it use a new one."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.config, self.process, self.ended = folder / f"{self.name}.conf", None, []

    def start(self):
        self.process = Process(self.command(), self.port, self.folder / f"{self.name}.log")

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None


class Haproxy(Proxy):
    name = "haproxy"

    def command(self):
        return ["haproxy", "-db", "-f", self.config]

    def configure(self, heading, servers, changes=None, paused=False):
        """The frontend of docs/tls.md and the backend under this heading of docs/scale.md, with these servers. `paused`:
        with the line that docs/scale.md has for that."""
        frontend = block("tls.md", "HAProxy", "haproxy").partition("\nbackend ")[0]
        frontend = replaced(frontend, {
            "bind :443 ssl crt /etc/haproxy/bridge.pem ssl-min-ver TLSv1.2 alpn http/1.1": f"bind 127.0.0.1:{self.port}",
            "default_backend bridge": "default_backend bridges",
        })
        if paused:
            line = block("scale.md", "Adding a replica", "haproxy")
            frontend = replaced(frontend, {"    http-request deny deny_status 404": f"{line}    http-request deny deny_status 404"})
        backend = replaced(block("scale.md", heading, "haproxy"), changes or {})
        with_ids = "server a 10.0.0.1:3000 id 1" in backend
        backend = without_lines(backend, "server a 10.0.0.1:3000", "server b 10.0.0.2:3000")
        if any(server.probes for server in servers):
            # here the bridges share an address
            backend = replaced(backend, {"check port 3002 ": "check "})
        for server in servers:
            more = f" id {server.number}" if with_ids else ""
            more += f" port {server.probes}" if server.probes else ""
            backend += f"    server {server.name} 127.0.0.1:{server.port}{more}\n"
        self.config.write_text(f"{frontend}\n{backend}")

    def reload(self):
        """As `systemctl reload haproxy` does: a new process, and the old one ends with its last connection."""
        old = self.process
        command = [*self.command(), "-sf", old.child.pid]
        self.process = Process(command, self.port, self.folder / f"{self.name}.log")
        self.ended.append(old)

    def old_has_ended(self):
        return all(process.child.poll() is not None for process in self.ended)


class Nginx(Proxy):
    name = "nginx"

    def command(self):
        return ["nginx", "-e", self.folder / "nginx.log", "-p", self.folder, "-c", self.config]

    def configure(self, servers):
        """The server block of docs/tls.md and the upstream of docs/scale.md, with these servers."""
        upstream = block("scale.md", "nginx", "nginx")
        upstream = without_lines(upstream, "server 10.0.0.1:3000", "server 10.0.0.2:3000")
        listed = "".join(f"    server 127.0.0.1:{server.port} max_fails=0;\n" for server in servers)
        upstream = replaced(upstream, {"    keepalive 64;\n": f"{listed}    keepalive 64;\n"})
        server = "server {" + block("tls.md", "nginx", "nginx").partition("\nserver {")[2]
        server = without_lines(server, "server_name", "ssl_certificate ", "ssl_certificate_key", "ssl_protocols")
        server = replaced(server, {
            "listen 443 ssl": f"listen 127.0.0.1:{self.port}", "proxy_pass http://bridge;": "proxy_pass http://bridges;",
        })
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        self.config.write_text(
            f"daemon off;\nmaster_process off;\npid {self.folder}/nginx.pid;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{temporary}{upstream}{server}}}\n"
        )
