{{/* bridge.toml. */}}

{{/* The configuration as JSON: the user's keys and those of the chart. */}}
{{- define "greenapi-bridge.config" -}}
{{- $config := include "greenapi-bridge.withoutNulls" .Values.config | fromJson -}}
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

{{/* A map as JSON without the keys that are null: a file of values removes a key of another one by null. */}}
{{- define "greenapi-bridge.withoutNulls" -}}
{{- $map := . | default dict | deepCopy -}}
{{- include "greenapi-bridge.removeNulls" $map -}}
{{- toJson $map -}}
{{- end -}}

{{- define "greenapi-bridge.removeNulls" -}}
{{- $map := . -}}
{{- range $name, $value := $map -}}
{{- if kindIs "map" $value -}}
{{- include "greenapi-bridge.removeNulls" $value -}}
{{- else if kindIs "invalid" $value -}}
{{- $_ := unset $map $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Turns the whole numbers in `value` into integers, since values are floating point, which TOML writes as 6.0. */}}
{{- define "greenapi-bridge.forToml" -}}
{{- $holder := . -}}
{{- $value := .value -}}
{{- if kindIs "map" $value -}}
{{- range $name, $child := $value -}}
{{- $one := dict "value" $child -}}
{{- include "greenapi-bridge.forToml" $one -}}
{{- $_ := set $value $name $one.value -}}
{{- end -}}
{{- else if kindIs "slice" $value -}}
{{- $items := list -}}
{{- range $value -}}
{{- $one := dict "value" . -}}
{{- include "greenapi-bridge.forToml" $one -}}
{{- $items = append $items $one.value -}}
{{- end -}}
{{- $_ := set $holder "value" $items -}}
{{- else if kindIs "float64" $value -}}
{{- if eq (floor $value) $value -}}{{- $_ := set $holder "value" (int64 $value) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "greenapi-bridge.toml" -}}
{{- $config := include "greenapi-bridge.config" . | fromJson -}}
{{- include "greenapi-bridge.forToml" (dict "value" $config) -}}
{{- $toml := toToml $config -}}
{{- /* toToml returns its error as the text */ -}}
{{- if hasPrefix "toml:" $toml -}}
{{- fail (printf "config cannot be written as TOML: %s; remove what TOML does not have" (trimPrefix "toml: " $toml)) -}}
{{- end -}}
{{- $toml -}}
{{- end -}}

{{/* Changes when the bridge must be restarted: auth.allow_from is applied while it runs. */}}
{{- define "greenapi-bridge.checksum" -}}
{{- $config := include "greenapi-bridge.config" . | fromJson -}}
{{- if $config.auth -}}{{- $_ := unset $config.auth "allow_from" -}}{{- end -}}
{{- toJson $config | sha256sum -}}
{{- end -}}

{{/* Whether the admin listener can be reached from other pods; nothing if not. */}}
{{- define "greenapi-bridge.adminIsOpen" -}}
{{- $listen := include "greenapi-bridge.withoutNulls" .Values.config | fromJson | dig "admin" "listen" "" | toString -}}
{{- if and $listen (not (regexMatch "^(127\\.|localhost:|\\[::1\\])" $listen)) -}}true{{- end -}}
{{- end -}}

{{/* The ports of the brokers, one a line. What is not a list is refused elsewhere. */}}
{{- define "greenapi-bridge.brokerPorts" -}}
{{- $config := include "greenapi-bridge.withoutNulls" .Values.config | fromJson -}}
{{- $servers := dig "nats" "servers" "" $config -}}
{{- range kindIs "slice" $servers | ternary $servers list }}
{{ toString . | regexFind ":[0-9]+/?$" | trimAll ":/" | default "4222" }}
{{- end -}}
{{- $servers := dig "kafka" "bootstrap_servers" "" $config -}}
{{- range kindIs "slice" $servers | ternary $servers list }}
{{ toString . | regexFind ":[0-9]+$" | trimAll ":" | default "9092" }}
{{- end -}}
{{- range .Values.networkPolicy.brokerPorts }}
{{ int . }}
{{- end -}}
{{- end -}}

{{/* The paths of the webhook, without and with the last slash. */}}
{{- define "greenapi-bridge.path" -}}
{{- include "greenapi-bridge.withoutNulls" .Values.config | fromJson | dig "http" "path" "/green-api/webhook/" | toString | trimSuffix "/" -}}
{{- end -}}

{{/* The seconds a pod gets to stop. */}}
{{- define "greenapi-bridge.graceNeeded" -}}
{{- $config := include "greenapi-bridge.withoutNulls" .Values.config | fromJson -}}
{{- $grace := dig "shutdown" "grace" "25s" $config | include "greenapi-bridge.seconds" | int64 -}}
{{- add (int64 .Values.preStopSeconds) $grace 5 -}}
{{- end -}}

{{- define "greenapi-bridge.grace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- include "greenapi-bridge.graceNeeded" . -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
