{{/*
The bridge as a native sidecar of another chart, whose dependency this one is, with sidecar.enabled: true.
    initContainers:
      - {{ include "greenapi-bridge.sidecar" (index .Subcharts "greenapi-bridge") | nindent 8 | trim }}
    volumes:
      {{- include "greenapi-bridge.sidecarVolumes" (index .Subcharts "greenapi-bridge") | nindent 6 }}
The pod needs securityContext.fsGroup, or the bridge cannot read the files of mode 0440. With a journal on a
persistentVolumeClaim it needs a volume `bridge-journal`, such as a volumeClaimTemplate of that name.
*/}}
{{- define "greenapi-bridge.sidecar" -}}
{{- include "greenapi-bridge.checks" . -}}
{{- include "greenapi-bridge.container" . }}
# a native sidecar: it starts before the containers and gets SIGTERM after they have ended
restartPolicy: Always
{{ include "greenapi-bridge.startupAndLivenessProbes" . }}
{{- if .Values.sidecar.readiness }}
# a bridge that is not ready takes the whole pod out of its Services
{{ include "greenapi-bridge.readinessProbe" . }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.sidecarVolumes" -}}
- {{ include "greenapi-bridge.configVolume" . | nindent 2 | trim }}
{{- if and .Values.journal.enabled (eq .Values.journal.volume "emptyDir") }}
- {{ include "greenapi-bridge.emptyDir" . | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* For the pod's annotations: a change of the configuration that needs a restart replaces the pod. */}}
{{- define "greenapi-bridge.sidecarAnnotations" -}}
checksum/greenapi-bridge: {{ include "greenapi-bridge.checksum" . | quote }}
{{- end -}}
