"""Sets of values that must render: what people do with the chart."""

from render import NATS, TOKENS, merged

KAFKA = {
    "image": {"repository": "registry.example.com/greenapi-bridge"},
    "config": {"kafka": {"bootstrap_servers": ["kafka-0.kafka:9093", "kafka-1.kafka:9093"]}},
    "files": {"auth": {"tokens_file": TOKENS}},
}
JOURNAL = merged(NATS, {"journal": {"enabled": True}})
EPHEMERAL = merged(JOURNAL, {"journal": {"volume": "emptyDir", "ephemeral": True}})
TLS = {
    "certificate_file": {"existingSecret": "bridge-tls", "key": "tls.crt"},
    "key_file": {"existingSecret": "bridge-tls", "key": "tls.key"},
}
KAFKA_LOGIN = {
    "config": {
        "kafka": {
            "properties": {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "bridge",
                "message.max.bytes": 20000000,
                "socket.keepalive.enable": True,
            }
        }
    },
    "files": {
        "kafka": {
            "secret_files": {"sasl.password": {"existingSecret": "kafka", "key": "password"}},
            "properties": {"ssl.ca.location": {"existingConfigMap": "kafka-ca", "key": "ca.crt"}},
        }
    },
}
NATS_LOGIN = {
    "files": {
        "nats": {
            "credentials_file": {"existingSecret": "nats", "key": "bridge.creds"},
            "tls": {"ca_file": {"existingConfigMap": "nats-ca", "key": "ca.crt"}},
        }
    }
}
ALLOW = {"config": {"auth": {"allow_from": ["green-api", "10.0.0.0/8"]}}}
PROXY = {"config": {"http": {"proxy": {"header": "x-forwarded-for", "trusted_hops": 2}}}}
INGRESS = {"ingress": {"enabled": True, "host": "bridge.example.com", "className": "nginx", "tlsSecret": "bridge-public"}}
ROUTE = {
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["bridge.example.com"],
    }
}
MONITORING = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True},
}
EVERY_LIMIT = {
    "config": {
        "http": {
            "max_body": "4MiB",
            "workers": 2,
            "limits": {"in_flight": 512, "connections": 1024, "head_bytes": "16KiB", "requests_per_connection": 250000},
        },
        "dedupe": {"max_ids": 250000, "window": "5m"},
        "log": {"level": "debug", "format": "json"},
        "shutdown": {"grace": "1m 30s", "delay": "2s"},
        "route": {"key": "chat", "types": {"newThing": "incoming"}, "classes": {"incoming": {"subject": "in.{instance}"}}},
        "nats": {"provision": {"replicas": 3, "max_age": "14d"}},
    }
}

# what a file of values after another one changes: NATS and a limit go, Kafka comes
WITHOUT_NATS = {"config": {"nats": None, "log": {"level": None}}, "files": {"nats": None}, "resources": {"limits": {"cpu": None}}}

# name → values
MATRIX = {
    "nats": NATS,
    "kafka": KAFKA,
    "both brokers": merged(NATS, KAFKA),
    "kafka with a login": merged(KAFKA, KAFKA_LOGIN),
    "nats with a login": merged(NATS, NATS_LOGIN),
    "journal": JOURNAL,
    "journal first": merged(JOURNAL, {"config": {"publish": {"timeout": "0s"}}}),
    "journal of 100 GiB": merged(
        JOURNAL,
        {
            "journal": {"size": "120Gi", "storageClass": "fast", "whenDeleted": "Delete"},
            "config": {"journal": {"max_bytes": "100GiB", "min_free": "1GiB", "retention": "3d"}},
        },
    ),
    "journal alone": {
        "image": NATS["image"],
        "files": NATS["files"],
        "journal": {"enabled": True},
    },
    "journal alone, read by others": {
        "image": NATS["image"],
        "files": {"auth": {"tokens_file": TOKENS}, "admin": {"tokens_file": {"existingSecret": "readers", "key": "tokens"}}},
        "config": {"admin": {"listen": "0.0.0.0:3001", "hosts": ["bridge-greenapi-bridge-internal"]}},
        "journal": {"enabled": True},
    },
    "journal at rest": merged(JOURNAL, {"replicas": 0}),
    "ephemeral journal": EPHEMERAL,
    "allowed addresses behind a load balancer": merged(NATS, ALLOW, {"service": {"type": "LoadBalancer"}}),
    "allowed addresses on a node's port": merged(NATS, ALLOW, {"service": {"type": "NodePort", "nodePort": 30300}}),
    "allowed addresses behind proxies": merged(
        NATS, ALLOW, PROXY, {"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}}
    ),
    "PROXY protocol": merged(
        NATS, ALLOW, {"config": {"http": {"proxy": {"protocol": "proxy"}}}, "service": {"type": "LoadBalancer"}}
    ),
    "own TLS": merged(NATS, {"files": {"http": {"tls": TLS}}, "service": {"type": "LoadBalancer", "port": 443}}),
    "ingress": merged(NATS, INGRESS),
    "ingress that speaks TLS to the bridge": merged(
        NATS,
        INGRESS,
        {"files": {"http": {"tls": TLS}}, "ingress": {"annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}}},
    ),
    "ingress and allowed addresses": merged(NATS, INGRESS, ALLOW, PROXY),
    "gateway": merged(NATS, ROUTE),
    "gateway and another path": merged(NATS, ROUTE, {"config": {"http": {"path": "/shard-1"}}}),
    "monitoring": merged(NATS, MONITORING),
    "autoscaling": merged(NATS, {"autoscaling": {"enabled": True, "maxReplicas": 12}}),
    "every limit": merged(NATS, EVERY_LIMIT),
    "anonymous": {"image": NATS["image"], "config": {**NATS["config"], "auth": {"allow_anonymous": True}}},
    "keys that another file of values removes": merged(NATS, NATS_LOGIN, KAFKA, WITHOUT_NATS),
    "sizes in every form": merged(
        JOURNAL, {"journal": {"size": "2.5Gi"}, "resources": {"requests": {"memory": "150M"}, "limits": {"memory": 536870912}}}
    ),
    "many replicas": merged(NATS, {"replicas": 9, "podDisruptionBudget": {"maxUnavailable": 3}}),
    "users of the platform": merged(NATS, {"runAsUser": None, "fsGroup": None}),
    "IPv6 and other ports": merged(
        NATS, {"listenAddress": "[::]", "ports": {"webhook": 8080, "admin": 8081, "probes": 8082}}
    ),
    "placed": merged(
        NATS,
        {
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "bridge", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "priorityClassName": "high",
            "serviceAccountName": "bridge",
            "podAnnotations": {"a": "b"},
            "podLabels": {"team": "chat"},
            "image": {"pullSecrets": ["registry"], "digest": "sha256:" + "0" * 64},
        },
    ),
    "narrow network": merged(
        KAFKA,
        {
            "networkPolicy": {
                "webhook": [{"ipBlock": {"cidr": "89.169.144.17/32"}}],
                "probes": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                "brokers": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}],
                "brokerPorts": [9094, 9095],
            }
        },
    ),
    "nothing optional": merged(
        NATS,
        {
            "networkPolicy": {"enabled": False},
            "podDisruptionBudget": {"enabled": False},
            "topologySpreadConstraints": [],
            "preStopSeconds": 0,
        },
    ),
}
