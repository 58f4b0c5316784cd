{{/* What cannot be done with the objects in the cluster, each with its remedy. `helm template` looks up none. */}}

{{- define "greenapi-bridge.check.upgrade" -}}
{{- $journal := and .Values.journal.enabled (not .Values.sidecar.enabled) }}
{{- $name := include "greenapi-bridge.fullname" . }}
{{- $kubectl := printf "kubectl --namespace %s" .Release.Namespace }}
{{- $old := lookup "apps/v1" "StatefulSet" .Release.Namespace $name }}
{{- if and $old (not $journal) }}
{{- if gt (int64 $old.spec.replicas) 0 }}
- journal.enabled = false: the journal of StatefulSet {{ $name }} may hold a backlog, which would stay behind; wait until `{{ $kubectl }} exec {{ $name }}-0 -- /greenapi-bridge journal status` shows an empty backlog, then `{{ $kubectl }} scale statefulset {{ $name }} --replicas=0`, and upgrade again
{{- end }}
{{- end }}
{{- include "greenapi-bridge.check.rename" (dict "root" . "name" $name "kubectl" $kubectl) }}
{{- if $journal }}
{{- $sizes := include "greenapi-bridge.journalSizes" . | fromJson }}
{{- $volume := dict "name" $name "kubectl" $kubectl "namespace" .Release.Namespace "journal" .Values.journal "sizes" $sizes "claim" (printf "bridge-journal-%s-0" $name) }}
{{- $differs := "" }}
{{- if $old }}
{{- $differs = include "greenapi-bridge.check.volume" (set $volume "old" ($old.spec.volumeClaimTemplates | default list)) }}
{{- end }}
{{- if $differs | trim }}
{{- $differs }}
{{- else if eq .Values.journal.volume "persistentVolumeClaim" }}
{{- include "greenapi-bridge.check.claim" $volume }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Under another name helm creates new objects and removes the old ones; the claim of the journal stays behind. */}}
{{- define "greenapi-bridge.check.rename" -}}
{{- $root := .root }}
{{- range (lookup "apps/v1" "StatefulSet" $root.Release.Namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $ours := and (eq (dig "app.kubernetes.io/name" "" $labels) $root.Chart.Name) (eq (dig "app.kubernetes.io/instance" "" $labels) $root.Release.Name) }}
{{- if and $ours (ne .metadata.name $.name) (gt (int64 .spec.replicas) 0) }}
- fullnameOverride = {{ $root.Values.fullnameOverride | default "\"\"" }}: the journal of StatefulSet {{ .metadata.name }} may hold a backlog, which would stay behind under the old name; set fullnameOverride = {{ .metadata.name }}, or wait until `{{ $.kubectl }} exec {{ .metadata.name }}-0 -- /greenapi-bridge journal status` shows an empty backlog, then `{{ $.kubectl }} scale statefulset {{ .metadata.name }} --replicas=0`, and upgrade again
{{- end }}
{{- end }}
{{- end -}}

{{/* What Kubernetes does not change in the StatefulSet. */}}
{{- define "greenapi-bridge.check.volume" -}}
{{- $recreate := printf "`%s delete statefulset %s --cascade=orphan`, and upgrade again" .kubectl .name }}
{{- $isClaim := eq .journal.volume "persistentVolumeClaim" }}
{{- if ne (len .old) ($isClaim | ternary 1 0) }}
- journal.volume = {{ .journal.volume }}: StatefulSet {{ .name }} has another, which Kubernetes does not change in place; wait until `{{ .kubectl }} exec {{ .name }}-0 -- /greenapi-bridge journal status` shows an empty backlog, then {{ $recreate }}
{{- else if $isClaim }}
{{- $spec := (first .old).spec }}
{{- $size := include "greenapi-bridge.quantity" .journal.size }}
{{- /* the API server writes 2048Mi as 2Gi */}}
{{- if and $size (ne $size (include "greenapi-bridge.bytes" $spec.resources.requests.storage)) }}
{{- $claim := include "greenapi-bridge.claimSize" . }}
{{- $isEnough := and $claim (ge (include "greenapi-bridge.bytes" $claim | int64) (int64 $size)) }}
- journal.size = {{ .journal.size }}: StatefulSet {{ .name }} has {{ $spec.resources.requests.storage }}, which Kubernetes does not change in place; {{ if $isEnough }}its claim {{ .claim }} has {{ $claim }}, so {{ $recreate }}{{ else }}{{ include "greenapi-bridge.enlarge" (dict "volume" . "size" .journal.size) }}, then {{ $recreate }}; if not, install a second release and move the journal with `journal export` and `journal import`{{ end }}
{{- end }}
{{- if ne (toString ($spec.storageClassName | default "")) .journal.storageClass }}
- journal.storageClass = {{ .journal.storageClass }}: StatefulSet {{ .name }} has {{ $spec.storageClassName | default "none" }}, which Kubernetes does not change; install a second release and move the journal with `journal export` and `journal import`
{{- end }}
{{- end }}
{{- end -}}

{{/* A claim outlives its release, and the next release of that name gets it, whatever size it asks for. */}}
{{- define "greenapi-bridge.check.claim" -}}
{{- $claim := include "greenapi-bridge.claimSize" . }}
{{- $needed := include "greenapi-bridge.journalNeeds" .sizes }}
{{- if and $claim $needed (lt (include "greenapi-bridge.bytes" $claim | int64) (int64 $needed)) }}
- config.journal.max_bytes = {{ .sizes.max }}: claim {{ .claim }} exists and has {{ $claim }}, but this, min_free and the file system take {{ include "greenapi-bridge.mebibytes" $needed }}; lower max_bytes, or {{ include "greenapi-bridge.enlarge" (dict "volume" . "size" .journal.size) }}
{{- end }}
{{- end -}}

{{/* The size of the journal's claim in the cluster; nothing if there is none. */}}
{{- define "greenapi-bridge.claimSize" -}}
{{- with lookup "v1" "PersistentVolumeClaim" .namespace .claim -}}
{{- dig "status" "capacity" "storage" .spec.resources.requests.storage . -}}
{{- end -}}
{{- end -}}

{{- define "greenapi-bridge.enlarge" -}}
{{- with .volume -}}
if the StorageClass of claim {{ .claim }} has allowVolumeExpansion, `{{ .kubectl }} patch pvc {{ .claim }} --patch '{"spec":{"resources":{"requests":{"storage":"{{ $.size }}"}}}}'`
{{- end -}}
{{- end -}}
