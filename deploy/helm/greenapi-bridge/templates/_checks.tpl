{{/* What is refused, each with its remedy. Every define here prints nothing, or lines that begin with "- ". */}}

{{- define "greenapi-bridge.checks" -}}
{{- $values := deepCopy .Values -}}
{{- range list "config" "files" "resources" -}}
{{- $_ := get $values . | include "greenapi-bridge.withoutNulls" | fromJson | set $values . -}}
{{- end -}}
{{- $root := dict "Values" $values "Release" .Release "Chart" .Chart -}}
{{- $problems := list -}}
{{- range list "image" "brokers" "lists" "items" "tokens" "owned" "metadata" "keys" "fileKeys" "addresses" "properties" "admin" "ports" "journal" "replicas" "grace" "source" "routes" "routesToTls" "resources" "budget" "autoscaling" "users" "sidecar" "upgrade" -}}
{{- with include (printf "greenapi-bridge.check.%s" .) $root | trim -}}
{{- $problems = append $problems . -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "these values do not work:\n%s" (join "\n" $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "greenapi-bridge.check.image" -}}
{{- $repository := .Values.image.repository }}
{{- if not $repository }}
- image.repository = "": no image is published; build one with deploy/build-image, push it to your registry, and name it here
{{- else if not (regexMatch "^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" $repository) }}
- image.repository = {{ $repository }}: is not the name of an image, which has lower case letters, no https:// and no tag; give one such as registry.example.com/greenapi-bridge, and the tag in image.tag or the digest in image.digest
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.brokers" -}}
{{- if not (or (hasKey .Values.config "nats") (hasKey .Values.config "kafka") .Values.journal.enabled) }}
- config = no nats, no kafka: nothing could be stored; set config.nats.servers or config.kafka.bootstrap_servers, or journal.enabled = true
{{- end }}
{{- if and (or (hasKey .Values.config "nats") .Values.files.nats) (not (dig "nats" "servers" "" .Values.config)) }}
- config.nats.servers is not set: the bridge's default is a server in its own pod; name yours, such as ["nats://nats.nats.svc:4222"]
{{- end }}
{{- if and (or (hasKey .Values.config "kafka") .Values.files.kafka) (not (dig "kafka" "bootstrap_servers" "" .Values.config)) }}
- config.kafka.bootstrap_servers is not set: the bridge's default is a broker in its own pod; name yours, such as ["kafka-bootstrap.kafka.svc:9092"]
{{- end }}
{{- end -}}

{{/* Addresses can contain credentials, which the error does not repeat. */}}
{{- define "greenapi-bridge.check.lists" -}}
{{- range list "nats.servers" "kafka.bootstrap_servers" }}
{{- $value := dig (splitList "." . | first) (splitList "." . | last) list $.Values.config }}
{{- if and $value (not (kindIs "slice" $value)) (not (kindIs "map" $value)) }}
{{- $addresses := regexSplit "[ ,]+" (regexReplaceAll "(?s)^.*@" (toString $value) "…@") -1 | compact }}
- config.{{ . }} = {{ join "," $addresses }}: is not a list; give {{ toJson $addresses }}
{{- end }}
{{- end }}
{{- end -}}

{{/* No list of the bridge has null, a section or a list in it; TOML cannot even express null. */}}
{{- define "greenapi-bridge.check.items" -}}
{{- include "greenapi-bridge.wrongItems" (dict "path" "config" "map" .Values.config) }}
{{- end -}}

{{- define "greenapi-bridge.wrongItems" -}}
{{- range $name, $value := .map }}
{{- $path := printf "%s.%s" $.path $name }}
{{- if kindIs "map" $value }}
{{- include "greenapi-bridge.wrongItems" (dict "path" $path "map" $value) }}
{{- else if kindIs "slice" $value }}
{{- range $at, $item := $value }}
{{- if or (kindIs "invalid" $item) (kindIs "map" $item) (kindIs "slice" $item) }}
- {{ $path }}[{{ $at }}] = {{ kindIs "invalid" $item | ternary "null" "…" }}: lists of the bridge have only texts and numbers; remove it
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.tokens" -}}
{{- $tokens := dig "auth" "tokens_file" "" .Values.files }}
{{- $anonymous := dig "auth" "allow_anonymous" false .Values.config }}
{{- if not (or $tokens $anonymous) }}
- files.auth.tokens_file is not set: anyone could send; put tokens into a Secret and name it here, or set config.auth.allow_anonymous = true
{{- end }}
{{- if and $tokens $anonymous }}
- config.auth.allow_anonymous = true: contradicts files.auth.tokens_file; remove one of them
{{- end }}
{{- end -}}

{{/* Keys of the bridge that the chart sets. */}}
{{- define "greenapi-bridge.check.owned" -}}
{{- if hasKey (.Values.config.http | default dict) "listen" }}
- config.http.listen = {{ .Values.config.http.listen }}: the chart sets it; use listenAddress and ports.webhook
{{- end }}
{{- if hasKey .Values.config "probes" }}
- config.probes = {{ toJson .Values.config.probes }}: the chart sets it; use listenAddress and ports.probes
{{- end }}
{{- $journal := .Values.config.journal | default dict }}
{{- if hasKey $journal "directory" }}
- config.journal.directory = {{ $journal.directory }}: the chart sets it; use journal.volume and journal.storageClass to choose where it is
{{- end }}
{{- if hasKey $journal "ephemeral" }}
- config.journal.ephemeral = {{ $journal.ephemeral }}: the chart sets it; use journal.ephemeral
{{- end }}
{{- if and (hasKey .Values.config "journal") (not .Values.journal.enabled) }}
- config.journal = {{ toJson $journal }}: the journal is off; set journal.enabled = true, or remove it
{{- end }}
{{- end -}}

{{/* Annotations and labels of the chart: given again they would stand twice in the object. */}}
{{- define "greenapi-bridge.check.metadata" -}}
{{- $labels := include "greenapi-bridge.labels" . | fromYaml | keys }}
{{- $annotations := include "greenapi-bridge.podAnnotations" . | fromYaml | keys }}
{{- range $value, $owned := dict "podAnnotations" $annotations "podLabels" $labels "serviceMonitor.labels" $labels "prometheusRule.labels" $labels "dashboard.labels" $labels }}
{{- $given := $.Values }}
{{- range splitList "." $value }}{{ $given = get $given . }}{{ end }}
{{- range $name, $content := $given }}
{{- if has $name $owned }}
- {{ $value }}."{{ $name }}" = {{ $content }}: the chart sets it; remove it
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.admin" -}}
{{- $listen := dig "admin" "listen" "" .Values.config }}
{{- if and $listen (not (toString $listen | contains ":")) }}
- config.admin.listen = {{ $listen }}: is not an address with a port; give 127.0.0.1:{{ int .Values.ports.admin }}, or remove it
{{- else if and $listen (not (hasSuffix (printf ":%v" (int .Values.ports.admin)) $listen)) }}
- config.admin.listen = {{ $listen }}: the port differs from ports.admin; give {{ regexReplaceAll ":[0-9]*$" $listen "" }}:{{ int .Values.ports.admin }}, or change ports.admin
{{- end }}
{{- if and (toString $listen | contains ":") (include "greenapi-bridge.adminIsOpen" .) (not (dig "admin" "tokens_file" "" .Values.files)) }}
- config.admin.listen = {{ $listen }}: other pods could read every message; set files.admin.tokens_file, or listen on 127.0.0.1:{{ int .Values.ports.admin }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.ports" -}}
{{- $ports := list (int .Values.ports.webhook) (int .Values.ports.admin) (int .Values.ports.probes) }}
{{- if ne (len (uniq $ports)) 3 }}
- ports = {{ toJson .Values.ports }}: two are the same; give three different ones
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.journal" -}}
{{- $journal := .Values.journal }}
{{- if and $journal.ephemeral (not $journal.enabled) }}
- journal.ephemeral = true: there is no journal; set journal.enabled = true too, or remove it
{{- end }}
{{- if $journal.enabled }}
{{- if and (eq $journal.volume "emptyDir") (not $journal.ephemeral) }}
- journal.volume = emptyDir: it is deleted with the pod, and with it what was answered 200; use persistentVolumeClaim, or set journal.ephemeral = true, which forwards what it can when the bridge stops, and logs what is lost
{{- end }}
{{- if and (eq $journal.volume "persistentVolumeClaim") $journal.ephemeral }}
- journal.ephemeral = true: the volume outlives the pod, so the next pod forwards the backlog; remove it, or set journal.volume = emptyDir
{{- end }}
{{- if and (eq $journal.volume "emptyDir") $journal.storageClass }}
- journal.storageClass = {{ $journal.storageClass }}: an emptyDir has none; remove it, or set journal.volume = persistentVolumeClaim
{{- end }}
{{- include "greenapi-bridge.check.journalSize" (include "greenapi-bridge.journalSizes" . | fromJson) }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.journalSize" -}}
{{- $size := include "greenapi-bridge.quantity" .size }}
{{- $needed := include "greenapi-bridge.journalNeeds" . }}
{{- if not $size }}
- journal.size = {{ .size }}: {{ include "greenapi-bridge.notQuantity" (dict "value" .size "example" "2Gi") }}
{{- end }}
{{- if not (include "greenapi-bridge.bytes" .max) }}
- config.journal.max_bytes = {{ .max }}: is not a size; give one such as 1GiB
{{- end }}
{{- if not (include "greenapi-bridge.bytes" .free) }}
- config.journal.min_free = {{ .free }}: is not a size; give one such as 64MiB
{{- end }}
{{- if and $size $needed (lt (int64 $size) (int64 $needed)) }}
- journal.size = {{ .size }}: is too small for config.journal.max_bytes = {{ .max }}, min_free = {{ .free }} and the file system; give at least {{ include "greenapi-bridge.mebibytes" $needed }}, or lower max_bytes
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.replicas" -}}
{{- $replicas := int64 (.Values.replicas | default 0) }}
{{- if and .Values.journal.enabled (gt $replicas 1) (not .Values.sidecar.enabled) }}
- replicas = {{ $replicas }}: with a journal each instance must stay with one bridge, or its order across an outage is lost; set replicas = 1 and install one release for each shard, each with its own URL, or set journal.enabled = false
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.grace" -}}
{{- $grace := dig "shutdown" "grace" "25s" .Values.config }}
{{- if not (include "greenapi-bridge.seconds" $grace) }}
- config.shutdown.grace = {{ $grace }}: is not a duration; give one such as 25s
{{- else if lt (include "greenapi-bridge.grace" . | int64) (include "greenapi-bridge.graceNeeded" . | int64) }}
- terminationGracePeriodSeconds = {{ .Values.terminationGracePeriodSeconds }}: the kubelet would kill the bridge while it stops; give at least {{ include "greenapi-bridge.graceNeeded" . }} (preStopSeconds, config.shutdown.grace and 5), or remove it
{{- end }}
{{- end -}}

{{/* auth.allow_from is compared with the sender's address, which a proxy or a Service in front can hide. */}}
{{- define "greenapi-bridge.check.source" -}}
{{- $service := .Values.service }}
{{- if and (dig "auth" "allow_from" "" .Values.config) (not (dig "http" "proxy" "" .Values.config)) }}
{{- if and (ne $service.type "ClusterIP") (ne $service.externalTrafficPolicy "Local") }}
- service.externalTrafficPolicy = {{ $service.externalTrafficPolicy }}: the bridge would see a node's address, and config.auth.allow_from would refuse GREEN-API; set Local, or config.http.proxy if a proxy in front names the sender
{{- end }}
{{- if or .Values.ingress.enabled .Values.httpRoute.enabled }}
- config.auth.allow_from = {{ toJson .Values.config.auth.allow_from }}: the bridge would see the address of the ingress or gateway; set config.http.proxy, such as { header: x-forwarded-for, trusted_hops: 1 }, or remove allow_from
{{- end }}
{{- end }}
{{- if and (eq $service.type "ClusterIP") $service.nodePort }}
- service.nodePort = {{ $service.nodePort }}: a ClusterIP has none; set service.type = NodePort or LoadBalancer, or remove it
{{- end }}
{{- if and (ne $service.type "LoadBalancer") $service.loadBalancerClass }}
- service.loadBalancerClass = {{ $service.loadBalancerClass }}: there is no load balancer; set service.type = LoadBalancer, or remove it
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.routes" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
- ingress.host = "": every host would lead here; give the host in GREEN-API's webhookUrl
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
- httpRoute.parentRefs = []: no gateway would use it; name one, such as [{ name: public, namespace: gateways }]
{{- end }}
{{- end -}}

{{/* A proxy in front speaks plain HTTP to the bridge, unless an annotation of its controller says otherwise. */}}
{{- define "greenapi-bridge.check.routesToTls" -}}
{{- $annotations := keys .Values.ingress.annotations .Values.service.annotations | join " " }}
{{- if and (dig "http" "tls" "" .Values.files) (not (regexMatch "backend-protocol|serversscheme|server-ssl|secure-backends|upstream-protocol|app-protocols" $annotations)) }}
{{- if .Values.ingress.enabled }}
- files.http.tls is set: the ingress would send plain HTTP, which a bridge with TLS answers 400; remove it, or set the annotation of your controller, such as ingress.annotations."nginx.ingress.kubernetes.io/backend-protocol" = HTTPS
{{- end }}
{{- if .Values.httpRoute.enabled }}
- files.http.tls is set: the gateway would send plain HTTP, which a bridge with TLS answers 400; remove it, or set httpRoute.enabled = false and create an HTTPRoute and a BackendTLSPolicy yourself
{{- end }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.resources" -}}
{{- range list "requests" "limits" }}
{{- $memory := dig . "memory" "" $.Values.resources }}
{{- $bytes := include "greenapi-bridge.quantity" $memory }}
{{- if and $memory (not $bytes) }}
- resources.{{ . }}.memory = {{ $memory }}: {{ include "greenapi-bridge.notQuantity" (dict "value" $memory "example" "1Gi") }}
{{- else if and $memory (eq . "limits") (lt (int64 $bytes) 67108864) }}
- resources.limits.memory = {{ $memory }}: the kernel would kill the bridge; give at least 64Mi (the default 1Gi is for full load)
{{- end }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.budget" -}}
{{- if and .Values.podDisruptionBudget.enabled (lt (int64 .Values.podDisruptionBudget.maxUnavailable) 1) }}
- podDisruptionBudget.maxUnavailable = {{ .Values.podDisruptionBudget.maxUnavailable }}: no node could be drained; give 1 or more
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.autoscaling" -}}
{{- with .Values.autoscaling }}
{{- if .enabled }}
{{- if $.Values.journal.enabled }}
- autoscaling.enabled = true: with a journal each instance must stay with one bridge, so there is one; set autoscaling.enabled = false or journal.enabled = false
{{- end }}
{{- if not (kindIs "invalid" $.Values.replicas) }}
- replicas = {{ $.Values.replicas }}: autoscaling chooses the number; remove replicas, or set autoscaling.enabled = false
{{- end }}
{{- if gt (int64 .minReplicas) (int64 .maxReplicas) }}
- autoscaling.minReplicas = {{ .minReplicas }}: is more than autoscaling.maxReplicas = {{ .maxReplicas }}; give less
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.users" -}}
{{- if and .Values.runAsUser (not .Values.fsGroup) }}
- fsGroup = null: user {{ int64 .Values.runAsUser }} could not read its files, which have mode 0440; set fsGroup, or leave runAsUser to the platform too
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.sidecar" -}}
{{- if .Values.sidecar.enabled }}
{{- range list "ingress" "httpRoute" "autoscaling" "serviceMonitor" }}
{{- if (get $.Values .).enabled }}
- {{ . }}.enabled = true: with sidecar.enabled the Service and the workload are those of the other chart; put it there
{{- end }}
{{- end }}
{{- else if .Values.sidecar.readiness }}
- sidecar.readiness = true: this is no sidecar, and has a readiness probe; set sidecar.enabled = true, or remove it
{{- end }}
{{- end -}}
