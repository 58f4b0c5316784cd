{{/* What could bring a secret into the ConfigMap, which more people can read than a Secret. The errors do not repeat values. */}}

{{/* Every key of the sections in which secrets are easily written, as deploy/bridge.example.toml has them. */}}
{{- define "greenapi-bridge.keys" -}}
{
  "auth": ["tokens_file", "allow_from", "allow_anonymous"],
  "http.tls": ["certificate_file", "key_file"],
  "admin": ["listen", "tokens_file", "hosts", "tls"],
  "admin.tls": ["certificate_file", "key_file"],
  "nats": [
    "servers", "stream", "subject", "dead_letter_subject", "credentials_file", "nkey_file", "user", "password_file", "token_file",
    "domain", "inbox_prefix", "tls", "provision"
  ],
  "nats.tls": ["ca_file", "certificate_file", "key_file", "handshake_first"],
  "nats.provision": ["replicas", "max_age", "max_bytes"],
  "kafka": [
    "bootstrap_servers", "topic", "dead_letter_topic", "token_file", "allow_unsafe_acks", "properties", "secret_files", "provision"
  ],
  "kafka.provision": ["partitions", "replicas", "min_insync_replicas", "retention"]
}
{{- end -}}

{{- define "greenapi-bridge.check.keys" -}}
{{- $keys := include "greenapi-bridge.keys" . | fromJson }}
{{- $sections := concat (keys $keys) (list "kafka.properties" "kafka.secret_files") }}
{{- range $section, $known := $keys }}
{{- $node := $.Values.config }}
{{- range splitList "." $section }}
{{- $node = kindIs "map" $node | ternary (get (kindIs "map" $node | ternary $node dict) .) "" }}
{{- end }}
{{- range $name, $value := kindIs "map" $node | ternary $node dict }}
{{- $path := printf "%s.%s" $section $name }}
{{- if not (has $name $known) }}
- config.{{ $path }} = …: is no key of the bridge; use {{ include "greenapi-bridge.keysToUse" (dict "section" $section "known" $known) }}
{{- else if and (has $path $sections) (not (kindIs "map" $value)) }}
- config.{{ $path }} = …: is a section of the bridge; give its keys
{{- else if and (kindIs "map" $value) (not (has $path $sections)) }}
- config.{{ $path }} = …: is no section of the bridge; give a value
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.keysToUse" -}}
{{- $plain := list }}
{{- $files := list }}
{{- range .known }}
{{- if regexMatch "_files?$" . }}{{ $files = append $files (printf "files.%s.%s" $.section .) }}{{ else }}{{ $plain = append $plain . }}{{ end }}
{{- end }}
{{- join ", " $plain }}{{ if and $plain $files }}, or {{ end }}{{ with $files }}for a secret {{ join ", " . }}{{ end }}
{{- end -}}

{{/* Keys of the bridge that name a file: they come from the value `files`. */}}
{{- define "greenapi-bridge.check.fileKeys" -}}
{{- range list "auth.tokens_file" "http.tls.certificate_file" "http.tls.key_file" "admin.tokens_file" "admin.tls.certificate_file" "admin.tls.key_file" "nats.credentials_file" "nats.nkey_file" "nats.password_file" "nats.token_file" "nats.tls.ca_file" "nats.tls.certificate_file" "nats.tls.key_file" "kafka.token_file" "kafka.secret_files" }}
{{- $node := $.Values.config }}
{{- range splitList "." . }}
{{- $node = kindIs "map" $node | ternary (get (kindIs "map" $node | ternary $node dict) .) "" }}
{{- end }}
{{- if $node }}
- config.{{ . }} = …: the pod has no such file; use files.{{ . }}, which names a Secret
{{- end }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.check.addresses" -}}
{{- $remedies := dict "nats.servers" "files.nats.credentials_file, or config.nats.user with files.nats.password_file" "kafka.bootstrap_servers" "config.kafka.properties.\"sasl.username\" with files.kafka.secret_files.\"sasl.password\"" }}
{{- range $key, $remedy := $remedies }}
{{- $servers := dig (splitList "." $key | first) (splitList "." $key | last) "" $.Values.config }}
{{- range kindIs "slice" $servers | ternary $servers list }}
{{- if and (kindIs "string" .) (toString . | contains "@") }}
- config.{{ $key }} = …@{{ splitList "@" . | last }}: contains credentials; use {{ $remedy }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The names of secrets are those that the bridge refuses in [kafka.properties]. */}}
{{- define "greenapi-bridge.check.properties" -}}
{{- $properties := dig "kafka" "properties" "" .Values.config }}
{{- range $name, $value := kindIs "map" $properties | ternary $properties dict }}
{{- $lower := lower $name }}
{{- if and (regexMatch "pass|secret|private\\.key|key\\.pem|jaas|oauthbearer\\.config|token" $lower) (not (regexMatch "\\.(location|url|file|id)$" $lower)) }}
- config.kafka.properties."{{ $name }}" = …: is a secret; use files.kafka.secret_files."{{ $lower }}", which names a Secret
{{- else if or (kindIs "map" $value) (kindIs "slice" $value) }}
- config.kafka.properties."{{ $name }}" = …: is no text, number or Boolean; write the whole name of the property as one key, such as "sasl.mechanism"
{{- else if regexMatch "://[^/]*@" (toString $value) }}
- config.kafka.properties."{{ $name }}" = …: contains credentials; use files.kafka.secret_files."{{ $lower }}", which names a Secret
{{- end }}
{{- end }}
{{- end -}}
