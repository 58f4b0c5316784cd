"""Sets of values for the chart."""

TOKENS = {"auth": {"tokens_file": {"existingSecret": "bridge-tokens", "key": "tokens"}}}


def merged(*parts):
    """Later ones win; maps are merged, as helm merges them."""
    whole = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else value
    return whole


IMAGE = {"image": {"repository": "registry.example.com/greenapi-bridge"}, "files": TOKENS}
NATS = merged(IMAGE, {"config": {"nats": {"servers": ["nats://nats.nats.svc:4222"]}}})
KAFKA = merged(IMAGE, {"config": {"kafka": {"bootstrap_servers": ["kafka-bootstrap.kafka.svc:9092"]}}})
WITHOUT_JOURNAL = merged(NATS, {"replicas": 3})
WITH_JOURNAL = merged(NATS, {"replicas": 1, "journal": {"enabled": True}})
AUTOSCALED = merged(NATS, {"replicas": None, "autoscaling": {"enabled": True}})
HEADER = {"config": {"http": {"proxy": {"header": "x-forwarded-for", "trusted_hops": 1}}, "auth": {"allow_from": ["green-api"]}}}
TLS_FILES = {
    "certificate_file": {"existingSecret": "bridge-tls", "key": "tls.crt"}, "key_file": {"existingSecret": "bridge-tls", "key": "tls.key"},
}
SECOND_GROUP = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]

# name: values; the server must take every object of them as it is
SETS = {
    "NATS": NATS,
    "Kafka with a secret": merged(KAFKA, {
        "config": {"kafka": {"properties": {"security.protocol": "SASL_SSL", "sasl.username": "bridge"}}},
        "files": {"kafka": {
            "secret_files": {"sasl.password": {"existingSecret": "kafka", "key": "password"}},
            "properties": {"ssl.ca.location": {"existingConfigMap": "kafka-ca", "key": "ca.crt"}},
        }},
    }),
    "both brokers": merged(NATS, KAFKA),
    "a journal on a volume": merged(WITH_JOURNAL, {"journal": {"storageClass": "fast", "size": "20Gi", "whenDeleted": "Delete"}}),
    "a journal that goes with the pod": merged(WITH_JOURNAL, {"journal": {"volume": "emptyDir", "ephemeral": True}}),
    "a journal and no broker": merged(IMAGE, {"replicas": 1, "journal": {"enabled": True}}),
    "autoscaling": AUTOSCALED,
    "a load balancer": merged(NATS, {
        "service": {
            "type": "LoadBalancer", "loadBalancerClass": "example.com/nlb", "annotations": {"example.com/scheme": "internet-facing"},
        },
        "config": {"auth": {"allow_from": ["green-api"]}},
    }),
    "a node port": merged(NATS, {"service": {"type": "NodePort", "nodePort": 30123}}),
    "TLS in the pod": merged(NATS, {"files": {"http": {"tls": TLS_FILES}}}),
    "an Ingress": merged(NATS, HEADER, {"ingress": {
        "enabled": True, "className": "nginx", "host": "hooks.example.com", "tlsSecret": "hooks-tls",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "8m"},
    }}),
    "an HTTPRoute": merged(NATS, HEADER, {"httpRoute": {
        "enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["hooks.example.com"],
    }}),
    "for the Prometheus operator and Grafana": merged(NATS, {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s"},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True, "annotations": {"folder": "Messaging"}},
    }),
    "who may reach which port": merged(NATS, {
        "networkPolicy": {
            "webhook": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "probes": SECOND_GROUP, "brokers": SECOND_GROUP,
            "admin": SECOND_GROUP, "brokerPorts": [9093],
        },
        "config": {"admin": {"listen": "0.0.0.0:3001"}},
        "files": {"admin": {"tokens_file": {"existingSecret": "bridge-admin", "key": "tokens"}}},
    }),
    "a place of its own": merged(NATS, {
        "priorityClassName": "system-cluster-critical", "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "bridge", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "greenapi-bridge"}}},
        ]}},
        "podAnnotations": {"example.com/team": "messaging"}, "podLabels": {"team": "messaging"},
        "image": {"pullSecrets": ["registry"], "digest": "sha256:" + 64 * "0"}, "serviceAccountName": "bridge",
    }),
    "users chosen by the platform": merged(NATS, {"runAsUser": None, "fsGroup": None}),
    "no budget, policy or spread": merged(NATS, {
        "podDisruptionBudget": {"enabled": False}, "networkPolicy": {"enabled": False}, "topologySpreadConstraints": [],
    }),
    "a longer grace": merged(NATS, {"config": {"shutdown": {"grace": "50s"}}, "preStopSeconds": 10}),
}
