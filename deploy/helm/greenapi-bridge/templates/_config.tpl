{{/* bridge.toml. */}}

{{/* The configuration as JSON: the user's keys and those of the chart. */}}
{{- define "greenapi-bridge.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- include "greenapi-bridge.setFilePaths" (dict "node" .Values.files "path" "" "config" $config) -}}
{{- $http := $config.http | default dict -}}
{{- $_ := set $http "listen" (printf "%s:%v" .Values.listenAddress (int .Values.ports.webhook)) -}}
{{- $_ := set $config "http" $http -}}
{{- $admin := $config.admin | default dict -}}
{{- $_ := set $admin "listen" ($admin.listen | default (printf "127.0.0.1:%v" (int .Values.ports.admin))) -}}
{{- $_ := set $config "admin" $admin -}}
{{- $_ := set $config "probes" (dict "listen" (printf "%s:%v" .Values.listenAddress (int .Values.ports.probes))) -}}
{{- if .Values.journal.enabled -}}
{{- $journal := $config.journal | default dict -}}
{{- /* a folder of its own in the volume, which the bridge makes with mode 0700 */ -}}
{{- $_ := set $journal "directory" "/var/lib/greenapi-bridge/journal" -}}
{{- if .Values.journal.ephemeral -}}{{- $_ := set $journal "ephemeral" true -}}{{- end -}}
{{- $_ := set $config "journal" $journal -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* Turns the whole numbers in a map into integers, since values are floating point, which TOML writes as 6.0; and leaves out
what is null, which TOML does not have. */}}
{{- define "greenapi-bridge.forToml" -}}
{{- $map := . -}}
{{- range $name, $value := $map -}}
{{- if kindIs "map" $value -}}
{{- include "greenapi-bridge.forToml" $value -}}
{{- else if kindIs "float64" $value -}}
{{- if eq (floor $value) $value -}}{{- $_ := set $map $name (int64 $value) -}}{{- end -}}
{{- else if kindIs "invalid" $value -}}
{{- $_ := unset $map $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "greenapi-bridge.toml" -}}
{{- $config := include "greenapi-bridge.config" . | fromJson -}}
{{- include "greenapi-bridge.forToml" $config -}}
{{- toToml $config -}}
{{- end -}}

{{/* Changes when the bridge must be restarted: auth.allow_from is applied while it runs. */}}
{{- define "greenapi-bridge.checksum" -}}
{{- $config := include "greenapi-bridge.config" . | fromJson -}}
{{- if $config.auth -}}{{- $_ := unset $config.auth "allow_from" -}}{{- end -}}
{{- toJson $config | sha256sum -}}
{{- end -}}

{{/* Whether the admin listener can be reached from other pods; nothing if not. */}}
{{- define "greenapi-bridge.adminIsOpen" -}}
{{- $listen := dig "admin" "listen" "" .Values.config -}}
{{- if and $listen (not (regexMatch "^(127\\.|localhost:|\\[::1\\])" $listen)) -}}true{{- end -}}
{{- end -}}

{{/* The ports of the brokers, one a line. */}}
{{- define "greenapi-bridge.brokerPorts" -}}
{{- if hasKey .Values.config "nats" -}}
{{- range dig "nats" "servers" list .Values.config }}
{{ regexFind ":[0-9]+/?$" . | trimAll ":/" | default "4222" }}
{{- end -}}
{{- end -}}
{{- if hasKey .Values.config "kafka" -}}
{{- range dig "kafka" "bootstrap_servers" list .Values.config }}
{{ regexFind ":[0-9]+$" . | trimAll ":" | default "9092" }}
{{- end -}}
{{- end -}}
{{- range .Values.networkPolicy.brokerPorts }}
{{ int . }}
{{- end -}}
{{- end -}}

{{/* The paths of the webhook, without and with the last slash. */}}
{{- define "greenapi-bridge.path" -}}
{{- dig "http" "path" "/green-api/webhook/" .Values.config | trimSuffix "/" -}}
{{- end -}}

{{/* The seconds a pod gets to stop. */}}
{{- define "greenapi-bridge.graceNeeded" -}}
{{- $grace := include "greenapi-bridge.seconds" (dig "shutdown" "grace" "25s" .Values.config) | int64 -}}
{{- add (int64 .Values.preStopSeconds) $grace 5 -}}
{{- end -}}

{{- define "greenapi-bridge.grace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- include "greenapi-bridge.graceNeeded" . -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
