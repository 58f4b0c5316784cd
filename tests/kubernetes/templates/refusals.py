"""Values that must not render, each with a part of the sentence that says why and what to do."""

import re

from matrix import ALLOW, EPHEMERAL, INGRESS, JOURNAL, KAFKA, NATS_LOGIN, ROUTE, TLS
from render import NATS, ROOT, TOKENS, Refused, merged, text

IMAGE = {"image": NATS["image"]}


def nats(*layers):
    return merged(NATS, *layers)


# what is wrong → values, what is said
REFUSALS = {
    "no image": (nats({"image": {"repository": ""}}), 'image.repository = "": no image is published'),
    "an image with its tag": (nats({"image": {"repository": "greenapi-bridge:0.1.0"}}), "no https:// and no tag; give one such as"),
    "an image by its page": (nats({"image": {"repository": "https://registry.example.com/b"}}), "is not the name of an image"),
    "an image in upper case": (nats({"image": {"repository": "registry.example.com/Bridge"}}), "has lower case letters"),
    "an image with its digest": (nats({"image": {"repository": "a/b@sha256:0"}}), "the digest in image.digest"),
    "no broker": ({**IMAGE, "files": NATS["files"]}, "config = no nats, no kafka: nothing could be stored"),
    "NATS without an address": (nats({"config": {"nats": {"servers": None}}}), "config.nats.servers is not set"),
    "Kafka without an address": (
        merged(KAFKA, {"config": {"kafka": {"bootstrap_servers": None}}}),
        "config.kafka.bootstrap_servers is not set",
    ),
    "a login for NATS without an address": (
        merged(KAFKA, NATS_LOGIN),
        "config.nats.servers is not set: the bridge's default is a server in its own pod",
    ),
    "NATS as a text": (
        nats({"config": {"nats": {"servers": "nats://a:4222"}}}),
        'config.nats.servers = nats://a:4222: is not a list; give ["nats://a:4222"]',
    ),
    "NATS as a text with a login": (
        nats({"config": {"nats": {"servers": "nats://bridge:hush@a:4222"}}}),
        "config.nats.servers = …@a:4222: is not a list",
    ),
    "Kafka as a text": (
        merged(KAFKA, {"config": {"kafka": {"bootstrap_servers": "a:9092, b:9092"}}}),
        'config.kafka.bootstrap_servers = a:9092,b:9092: is not a list; give ["a:9092","b:9092"]',
    ),
    "the one broker removed": (nats({"config": {"nats": None}}), "config = no nats, no kafka: nothing could be stored"),
    "no tokens": ({**IMAGE, "config": NATS["config"]}, "files.auth.tokens_file is not set: anyone could send"),
    "tokens and none": (
        nats({"config": {"auth": {"allow_anonymous": True}}}),
        "config.auth.allow_anonymous = true: contradicts files.auth.tokens_file",
    ),
    "listen": (nats({"config": {"http": {"listen": "0.0.0.0:80"}}}), "use listenAddress and ports.webhook"),
    "probes": (nats({"config": {"probes": {"listen": ":1"}}}), "use listenAddress and ports.probes"),
    "journal's directory": (
        merged(JOURNAL, {"config": {"journal": {"directory": "/data"}}}),
        "config.journal.directory = /data: the chart sets it",
    ),
    "journal's key": (
        merged(EPHEMERAL, {"config": {"journal": {"ephemeral": True}}}),
        "config.journal.ephemeral = true: the chart sets it; use journal.ephemeral",
    ),
    "journal's section alone": (
        nats({"config": {"journal": {"max_bytes": "1GiB"}}}),
        "the journal is off; set journal.enabled = true",
    ),
    "the checksum of the configuration": (
        nats({"podAnnotations": {"checksum/config": "fixed"}}),
        'podAnnotations."checksum/config" = fixed: the chart sets it; remove it',
    ),
    "a label of the selector": (
        nats({"podLabels": {"app.kubernetes.io/instance": "other"}}),
        'podLabels."app.kubernetes.io/instance" = other: the chart sets it; remove it',
    ),
    "a label of the chart": (
        nats({"dashboard": {"labels": {"helm.sh/chart": "other"}}}),
        'dashboard.labels."helm.sh/chart" = other: the chart sets it; remove it',
    ),
    "a token's file": (nats({"config": {"auth": {"tokens_file": "/x"}}}), "use files.auth.tokens_file, which names a Secret"),
    "a key's file": (nats({"config": {"http": {"tls": {"key_file": "/x"}}}}), "use files.http.tls.key_file"),
    "a credentials file": (nats({"config": {"nats": {"credentials_file": "/x"}}}), "use files.nats.credentials_file"),
    "a Kafka secret's file": (
        merged(KAFKA, {"config": {"kafka": {"secret_files": {"sasl.password": "/x"}}}}),
        "use files.kafka.secret_files",
    ),
    "a login in an address": (
        nats({"config": {"nats": {"servers": ["nats://bridge:hush@nats:4222"]}}}),
        "config.nats.servers = …@nats:4222: contains credentials",
    ),
    "a login in an address of Kafka": (
        merged(KAFKA, {"config": {"kafka": {"bootstrap_servers": ["SASL_SSL://bridge:hush@kafka:9093"]}}}),
        "config.kafka.bootstrap_servers = …@kafka:9093: contains credentials; use config.kafka.properties.",
    ),
    "a login with a comma in a text": (
        nats({"config": {"nats": {"servers": "nats://bridge:hush,hush@a:4222"}}}),
        "config.nats.servers = …@a:4222: is not a list",
    ),
    "a login in a section of addresses": (
        nats({"config": {"nats": {"servers": {"url": "nats://a:4222", "password": "hush"}}}}),
        "config.nats.servers = …: is no section of the bridge; give a value",
    ),
    "a login under a misspelt key": (
        nats({"config": {"nats": {"server": "nats://bridge:hush@a:4222"}}}),
        "config.nats.server = …: is no key of the bridge; use servers, stream, subject",
    ),
    "a password for NATS": (
        nats({"config": {"nats": {"user": "bridge", "password": "hush"}}}),
        "or for a secret files.nats.credentials_file, files.nats.nkey_file, files.nats.password_file, files.nats.token_file",
    ),
    "a token for NATS": (nats({"config": {"nats": {"token": "hush"}}}), "config.nats.token = …: is no key of the bridge"),
    "a password as a file": (nats({"config": {"nats": {"password_file": "hush"}}}), "config.nats.password_file = …: the pod has no"),
    "a key in the section of TLS": (
        nats({"config": {"nats": {"tls": {"key": "hush"}}}}),
        "config.nats.tls.key = …: is no key of the bridge; use handshake_first, or for a secret files.nats.tls.ca_file",
    ),
    "a text for the section of TLS": (
        nats({"config": {"nats": {"tls": "hush"}}}),
        "config.nats.tls = …: is a section of the bridge; give its keys",
    ),
    "a certificate's key in the configuration": (
        nats({"config": {"http": {"tls": {"key": "hush"}}}}),
        "config.http.tls.key = …: is no key of the bridge; use for a secret files.http.tls.certificate_file",
    ),
    "a password below the stream": (
        nats({"config": {"nats": {"provision": {"password": "hush"}}}}),
        "config.nats.provision.password = …: is no key of the bridge; use replicas, max_age, max_bytes",
    ),
    "tokens in the configuration": (
        nats({"config": {"auth": {"tokens": ["hush"]}}}),
        "config.auth.tokens = …: is no key of the bridge; use allow_from, allow_anonymous, or for a secret files.auth.tokens_file",
    ),
    "tokens of the admin listener": (
        nats({"config": {"admin": {"tokens": ["hush"]}}}),
        "config.admin.tokens = …: is no key of the bridge; use listen, hosts, tls, or for a secret files.admin.tokens_file",
    ),
    "a password for Kafka": (
        merged(KAFKA, {"config": {"kafka": {"password": "hush"}}}),
        "or for a secret files.kafka.token_file, files.kafka.secret_files",
    ),
    "a password in nested properties": (
        merged(KAFKA, {"config": {"kafka": {"properties": {"sasl": {"mechanism": "PLAIN", "password": "hush"}}}}}),
        'config.kafka.properties."sasl" = …: is no text, number or Boolean; write the whole name of the property as one key',
    ),
    "a login in the address of a property": (
        merged(KAFKA, {"config": {"kafka": {"properties": {"sasl.oauthbearer.token.endpoint.url": "https://a:hush@b/"}}}}),
        'config.kafka.properties."sasl.oauthbearer.token.endpoint.url" = …: contains credentials',
    ),
    "a passphrase in a property": (
        merged(KAFKA, {"config": {"kafka": {"properties": {"sasl.oauthbearer.assertion.private.key.passphrase": "hush"}}}}),
        'secret_files."sasl.oauthbearer.assertion.private.key.passphrase", which names a Secret',
    ),
    "a login in the configuration of a mechanism": (
        merged(KAFKA, {"config": {"kafka": {"properties": {"sasl.oauthbearer.config": "secret=hush"}}}}),
        'config.kafka.properties."sasl.oauthbearer.config" = …: is a secret',
    ),
    "a password in capitals": (
        merged(KAFKA, {"config": {"kafka": {"properties": {"SASL.PASSWORD": "hush"}}}}),
        'config.kafka.properties."SASL.PASSWORD" = …: is a secret; use files.kafka.secret_files."sasl.password"',
    ),
    "a password in a property": (
        merged(KAFKA, {"config": {"kafka": {"properties": {"sasl.password": "hush"}}}}),
        'config.kafka.properties."sasl.password" = …: is a secret; use files.kafka.secret_files',
    ),
    "a key in a property": (
        merged(KAFKA, {"config": {"kafka": {"properties": {"ssl.key.pem": "hush"}}}}),
        'config.kafka.properties."ssl.key.pem" = …: is a secret',
    ),
    "a token among the values": (nats({"files": {"auth": {"tokens_file": "hush"}}}), "/files/auth/tokens_file"),
    "a token beside its name": (
        nats({"files": {"auth": {"tokens_file": {**TOKENS, "value": "hush"}}}}),
        "additional properties 'value' not allowed",
    ),
    "a token in a ConfigMap": (
        {**NATS, "files": {"auth": {"tokens_file": {"existingConfigMap": "x", "key": "y"}}}},
        "missing property 'existingSecret'",
    ),
    "a certificate without its key": (
        nats({"files": {"http": {"tls": {"certificate_file": TOKENS}}}}),
        "missing property 'key_file'",
    ),
    "a key that takes no file": (nats({"files": {"nats": {"stream": TOKENS}}}), "additional properties 'stream' not allowed"),
    "nothing in a list": (
        nats({"config": {"auth": {"allow_from": ["green-api", None]}}}),
        "config.auth.allow_from[1] = null: lists of the bridge have only texts and numbers; remove it",
    ),
    "a section in a list": (
        nats({"config": {"nats": {"servers": [{"url": "nats://a:4222", "password": "hush"}]}}}),
        "config.nats.servers[0] = …: lists of the bridge have only texts and numbers",
    ),
    "an unknown section": (nats({"config": {"nat": {}}}), "additional properties 'nat' not allowed"),
    "an unknown value": (nats({"replicaCount": 3}), "additional properties 'replicaCount' not allowed"),
    "an admin listener without tokens": (
        nats({"config": {"admin": {"listen": "0.0.0.0:3001"}}}),
        "config.admin.listen = 0.0.0.0:3001: other pods could read every message; set files.admin.tokens_file",
    ),
    "an admin listener elsewhere": (
        nats({"config": {"admin": {"listen": "127.0.0.1:9000"}}}),
        "config.admin.listen = 127.0.0.1:9000: the port differs from ports.admin; give 127.0.0.1:3001",
    ),
    "an admin listener as a port": (
        nats({"config": {"admin": {"listen": 3001}}}),
        "config.admin.listen = 3001: is not an address with a port; give 127.0.0.1:3001",
    ),
    "ports twice": (nats({"ports": {"admin": 3000}}), "two are the same; give three different ones"),
    "a port of root": (nats({"ports": {"webhook": 80}}), "/ports/webhook"),
    "an unknown address": (nats({"listenAddress": "127.0.0.1"}), "/listenAddress"),
    "a journal that goes with the pod": (
        merged(JOURNAL, {"journal": {"volume": "emptyDir"}}),
        "journal.volume = emptyDir: it is deleted with the pod, and with it what was answered 200",
    ),
    "an ephemeral journal on a volume": (
        merged(JOURNAL, {"journal": {"ephemeral": True}}),
        "journal.ephemeral = true: the volume outlives the pod",
    ),
    "an ephemeral journal without one": (
        nats({"journal": {"ephemeral": True}}),
        "journal.ephemeral = true: there is no journal",
    ),
    "a class for an emptyDir": (
        merged(EPHEMERAL, {"journal": {"storageClass": "fast"}}),
        "journal.storageClass = fast: an emptyDir has none",
    ),
    "a volume below max_bytes": (
        merged(JOURNAL, {"journal": {"size": "1Gi"}}),
        "journal.size = 1Gi: is too small for config.journal.max_bytes = 1GiB",
    ),
    "max_bytes above the volume": (
        merged(JOURNAL, {"config": {"journal": {"max_bytes": "2GB"}}}),
        "journal.size = 2Gi: is too small for config.journal.max_bytes = 2GB",
    ),
    "a size that is none": (merged(JOURNAL, {"journal": {"size": "large"}}), "journal.size = large: is not a size"),
    "a size as the bridge writes it": (
        merged(JOURNAL, {"journal": {"size": "5GiB"}}),
        "journal.size = 5GiB: is not a size as Kubernetes writes it; give 5Gi",
    ),
    "a limit as the bridge writes it": (
        nats({"resources": {"limits": {"memory": "512MiB"}}}),
        "resources.limits.memory = 512MiB: is not a size as Kubernetes writes it; give 512Mi",
    ),
    "a request in thousandths of a byte": (
        nats({"resources": {"requests": {"memory": "128m"}}}),
        "resources.requests.memory = 128m: is not a size as Kubernetes writes it; give one such as 1Gi",
    ),
    "a limit below what a bridge needs": (
        nats({"resources": {"limits": {"memory": "32Mi"}}}),
        "resources.limits.memory = 32Mi: the kernel would kill the bridge; give at least 64Mi",
    ),
    "max_bytes that is none": (
        merged(JOURNAL, {"config": {"journal": {"max_bytes": "large"}}}),
        "config.journal.max_bytes = large: is not a size",
    ),
    "two journals": (
        merged(JOURNAL, {"replicas": 2}),
        "replicas = 2: with a journal each instance must stay with one bridge",
    ),
    "autoscaled journals": (
        merged(JOURNAL, {"autoscaling": {"enabled": True}}),
        "autoscaling.enabled = true: with a journal each instance must stay with one bridge",
    ),
    "replicas and autoscaling": (
        nats({"replicas": 3, "autoscaling": {"enabled": True}}),
        "replicas = 3: autoscaling chooses the number",
    ),
    "too little grace": (
        nats({"terminationGracePeriodSeconds": 34}),
        "terminationGracePeriodSeconds = 34: the kubelet would kill the bridge while it stops; give at least 35",
    ),
    "too little grace for shutdown.grace": (
        nats({"terminationGracePeriodSeconds": 60, "config": {"shutdown": {"grace": "1m"}}}),
        "give at least 70",
    ),
    "a grace that is none": (
        nats({"config": {"shutdown": {"grace": 25}}}),
        "config.shutdown.grace = 25: is not a duration; give one such as 25s",
    ),
    "hidden senders behind a load balancer": (
        nats(ALLOW, {"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}}),
        "service.externalTrafficPolicy = Cluster: the bridge would see a node's address",
    ),
    "hidden senders on a node's port": (
        nats(ALLOW, {"service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}}),
        "set Local, or config.http.proxy",
    ),
    "hidden senders behind an ingress": (
        nats(ALLOW, INGRESS),
        "the bridge would see the address of the ingress or gateway; set config.http.proxy",
    ),
    "hidden senders behind a gateway": (nats(ALLOW, ROUTE), "the bridge would see the address of the ingress or gateway"),
    "a node's port inside": (nats({"service": {"nodePort": 30300}}), "service.nodePort = 30300: a ClusterIP has none"),
    "a balancer's class inside": (
        nats({"service": {"loadBalancerClass": "x/y"}}),
        "service.loadBalancerClass = x/y: there is no load balancer",
    ),
    "an ingress for every host": (nats({"ingress": {"enabled": True}}), 'ingress.host = "": every host would lead here'),
    "a route without a gateway": (nats({"httpRoute": {"enabled": True}}), "httpRoute.parentRefs = []: no gateway would use it"),
    "an ingress before a bridge with TLS": (
        nats(INGRESS, {"files": {"http": {"tls": TLS}}}),
        "files.http.tls is set: the ingress would send plain HTTP",
    ),
    "a gateway before a bridge with TLS": (
        nats(ROUTE, {"files": {"http": {"tls": TLS}}}),
        "files.http.tls is set: the gateway would send plain HTTP",
    ),
    "a budget that blocks drains": (
        nats({"podDisruptionBudget": {"maxUnavailable": 0}}),
        "podDisruptionBudget.maxUnavailable = 0: no node could be drained",
    ),
    "more at least than at most": (
        nats({"autoscaling": {"enabled": True, "minReplicas": 7}}),
        "autoscaling.minReplicas = 7: is more than autoscaling.maxReplicas = 6",
    ),
    "a sidecar with an ingress": (
        nats(INGRESS, {"sidecar": {"enabled": True}}),
        "ingress.enabled = true: with sidecar.enabled the Service and the workload are those of the other chart",
    ),
    "a sidecar's readiness without one": (
        nats({"sidecar": {"readiness": True}}),
        "sidecar.readiness = true: this is no sidecar",
    ),
    "a user without the group": (nats({"fsGroup": None}), "fsGroup = null: user 65532 could not read its files"),
    "root": (nats({"runAsUser": 0}), "/runAsUser"),
    "a digest that is none": (nats({"image": {"digest": "latest"}}), "/image/digest"),
}


def check_refusals():
    """Each is refused with its sentence, and no refusal repeats a secret."""
    for name, (values, sentence) in REFUSALS.items():
        try:
            text(values)
        except Refused as refused:
            said = str(refused)
            assert sentence in said, f"{name}: expected {sentence!r}, helm said:\n{said}"
            assert "hush" not in said, f"{name}: the refusal shows the secret:\n{said}"
        else:
            raise AssertionError(f"{name}: is not refused")
    return f"{len(REFUSALS)} wrong values, each with its sentence"


def check_secret_names():
    """The chart refuses a property by the same parts of its name as the bridge, and accepts the location of a secret."""
    source = (ROOT / "src/brokers/kafka/properties.rs").read_text()
    parts = re.findall('"(.+?)"', re.search(r"const SECRET: .*? = \[(.*?)\];", source, re.DOTALL)[1])
    for part in parts:
        try:
            text(merged(KAFKA, {"config": {"kafka": {"properties": {f"some.{part}.name": "hush"}}}}))
        except Refused as refused:
            assert f'"some.{part}.name" = …: is a secret' in str(refused), refused
        else:
            raise AssertionError(f"a property with {part} in its name is accepted")
    locations = re.findall('"([.]\\w+)"', re.search(r"let location = \[(.*?)\]", source)[1])
    text(merged(KAFKA, {"config": {"kafka": {"properties": {f"some.secret{end}": "b" for end in locations}}}}))
    assert len(parts) > 5 and len(locations) > 3, "src/brokers/kafka/properties.rs is read wrongly"
    return f"{len(parts)} parts of names of secrets and {len(locations)} ends of locations, as the bridge has them"


def check_all_at_once():
    """One start names everything that is wrong."""
    try:
        text({})
    except Refused as refused:
        said = str(refused)
    for part in ("image.repository", "config = no nats", "files.auth.tokens_file"):
        assert part in said, f"{part} is missing in:\n{said}"
    return "the defaults alone name all three values that are required"
