{{/* The value `files`: keys of the bridge that name a file. */}}

{{/* One line of JSON for each file: its key, and where its content is. */}}
{{- define "greenapi-bridge.fileLines" -}}
{{- $path := .path -}}
{{- range $name, $value := .node }}
{{- $key := trimPrefix "." (printf "%s.%s" $path $name) }}
{{- if not (kindIs "map" $value) }}
{{- else if or (hasKey $value "existingSecret") (hasKey $value "existingConfigMap") }}
{{ dict "path" $key "ref" $value | toJson }}
{{- else }}
{{- include "greenapi-bridge.fileLines" (dict "node" $value "path" $key) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Writes into `config` where each file is mounted: relative to bridge.toml, except for librdkafka, which does not know that folder. */}}
{{- define "greenapi-bridge.setFilePaths" -}}
{{- $path := .path -}}
{{- $config := .config -}}
{{- range $name, $value := .node }}
{{- $key := trimPrefix "." (printf "%s.%s" $path $name) }}
{{- if not (kindIs "map" $value) }}
{{- else if or (hasKey $value "existingSecret") (hasKey $value "existingConfigMap") }}
{{- $folder := eq $path "kafka.properties" | ternary "/etc/greenapi-bridge/files" "files" }}
{{- $_ := set $config $name (printf "%s/%s" $folder $key) }}
{{- else }}
{{- if not (kindIs "map" (get $config $name)) }}{{ $_ := set $config $name dict }}{{ end }}
{{- include "greenapi-bridge.setFilePaths" (dict "node" $value "path" $key "config" (get $config $name)) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The volume with bridge.toml and, beside it, the files it names. */}}
{{- define "greenapi-bridge.configVolume" -}}
name: bridge-config
projected:
  defaultMode: 0440
  sources:
    - configMap:
        name: {{ include "greenapi-bridge.fullname" . | quote }}
        items:
          - key: bridge.toml
            path: bridge.toml
    {{- range splitList "\n" (include "greenapi-bridge.fileLines" (dict "node" .Values.files "path" "") | trim) }}
    {{- with fromJson . }}
    {{- if .path }}
    - {{ hasKey .ref "existingSecret" | ternary "secret" "configMap" }}:
        name: {{ .ref.existingSecret | default .ref.existingConfigMap | quote }}
        items:
          - key: {{ .ref.key | quote }}
            path: {{ printf "files/%s" .path | quote }}
    {{- end }}
    {{- end }}
    {{- end }}
{{- end -}}
