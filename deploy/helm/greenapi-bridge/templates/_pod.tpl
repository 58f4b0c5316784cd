{{/* The parts of a pod, alone or as a sidecar. */}}

{{- define "greenapi-bridge.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
{{- end }}
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The container, without its probes. */}}
{{- define "greenapi-bridge.container" -}}
name: greenapi-bridge
image: {{ include "greenapi-bridge.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
args: [run]
env:
  # also for commands by kubectl exec
  - name: BRIDGE_CONFIG
    value: /etc/greenapi-bridge/bridge.toml
ports:
  - name: webhook
    containerPort: {{ int .Values.ports.webhook }}
    protocol: TCP
  - name: probes
    containerPort: {{ int .Values.ports.probes }}
    protocol: TCP
  {{- if include "greenapi-bridge.adminIsOpen" . }}
  - name: admin
    containerPort: {{ int .Values.ports.admin }}
    protocol: TCP
  {{- end }}
securityContext:
  {{- include "greenapi-bridge.containerSecurityContext" . | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- include "greenapi-bridge.withoutNulls" . | fromJson | toYaml | nindent 2 }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  # the folder, not files by subPath: the kubelet does not update those
  - name: bridge-config
    mountPath: /etc/greenapi-bridge
    readOnly: true
  {{- if .Values.journal.enabled }}
  - name: bridge-journal
    mountPath: /var/lib/greenapi-bridge
  {{- end }}
{{- end -}}

{{- define "greenapi-bridge.startupAndLivenessProbes" -}}
# with a journal nothing listens until it is open, and a large one of an older version is migrated first
startupProbe:
  httpGet:
    path: /livez
    port: {{ int .Values.ports.probes }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ .Values.journal.enabled | ternary 600 60 }}
# asks no broker: bridges must not restart because a broker is down
livenessProbe:
  httpGet:
    path: /livez
    port: {{ int .Values.ports.probes }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{- define "greenapi-bridge.readinessProbe" -}}
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ int .Values.ports.probes }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{/* The volume of a journal that is deleted with the pod. */}}
{{- define "greenapi-bridge.emptyDir" -}}
name: bridge-journal
emptyDir:
  sizeLimit: {{ .Values.journal.size | quote }}
{{- end -}}

{{/* What decides whether the cluster admits a pod, and where it may run; that of `helm test` too. */}}
{{- define "greenapi-bridge.admission" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "greenapi-bridge.podAnnotations" -}}
checksum/config: {{ include "greenapi-bridge.checksum" . | quote }}
kubectl.kubernetes.io/default-container: greenapi-bridge
{{- end -}}

{{/* metadata and spec of the pod of a Deployment or StatefulSet. */}}
{{- define "greenapi-bridge.pod" -}}
metadata:
  annotations:
    {{- include "greenapi-bridge.podAnnotations" . | nindent 4 }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "greenapi-bridge.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "greenapi-bridge.admission" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "greenapi-bridge.grace" . | int }}
  securityContext:
    runAsNonRoot: true
    {{- with .Values.runAsUser }}
    runAsUser: {{ int64 . }}
    runAsGroup: {{ int64 . }}
    {{- end }}
    {{- with .Values.fsGroup }}
    fsGroup: {{ int64 . }}
    # Always would make the journal's files readable and writable for the group at each start
    fsGroupChangePolicy: OnRootMismatch
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  containers:
    - {{ include "greenapi-bridge.container" . | nindent 6 | trim }}
      {{- include "greenapi-bridge.startupAndLivenessProbes" . | nindent 6 }}
      {{- include "greenapi-bridge.readinessProbe" . | nindent 6 }}
      {{- if .Values.preStopSeconds }}
      # serves as before until the Services have removed this pod from their endpoints
      lifecycle:
        preStop:
          sleep:
            seconds: {{ int .Values.preStopSeconds }}
      {{- end }}
  volumes:
    - {{ include "greenapi-bridge.configVolume" . | nindent 6 | trim }}
    {{- if and .Values.journal.enabled (eq .Values.journal.volume "emptyDir") }}
    - {{ include "greenapi-bridge.emptyDir" . | nindent 6 | trim }}
    {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      labelSelector:
        matchLabels:
          {{- include "greenapi-bridge.selectorLabels" $ | nindent 10 }}
      {{- if not $.Values.journal.enabled }}
      # otherwise the pods that a rollout replaces count too
      matchLabelKeys: [pod-template-hash]
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
