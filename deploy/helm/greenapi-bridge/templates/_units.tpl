{{/* Durations and sizes, as the bridge and Kubernetes write them. */}}

{{/* The seconds of a duration such as "25s" or "1m 30s", rounded up; nothing if it is not a duration. */}}
{{- define "greenapi-bridge.seconds" -}}
{{- $text := toString . -}}
{{- if regexMatch "^([0-9]+ *(ms|msec|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hrs|hour|hours) *)+$" $text -}}
{{- $milliseconds := 0 -}}
{{- range regexFindAll "[0-9]+ *[a-z]+" $text -1 -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $factor := 1000 -}}
{{- if hasPrefix "ms" $unit -}}{{- $factor = 1 -}}
{{- else if hasPrefix "m" $unit -}}{{- $factor = 60000 -}}
{{- else if hasPrefix "h" $unit -}}{{- $factor = 3600000 -}}
{{- end -}}
{{- $milliseconds = add $milliseconds (mul $number $factor) -}}
{{- end -}}
{{- div (add $milliseconds 999) 1000 -}}
{{- end -}}
{{- end -}}

{{/* The bytes of "1GiB" (the bridge) or "2Gi" (Kubernetes); nothing if it is neither. */}}
{{- define "greenapi-bridge.bytes" -}}
{{- $text := toString . | trim -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)? *([kKMGTP]i?[bB]?|[bB])?$" $text -}}
{{- $unit := regexFind "[a-zA-Z]*$" $text | lower | trimSuffix "b" -}}
{{- $factors := dict "" 1.0 "k" 1e3 "m" 1e6 "g" 1e9 "t" 1e12 "p" 1e15 "ki" 1024.0 "mi" 1048576.0 "gi" 1073741824.0 "ti" 1099511627776.0 "pi" 1125899906842624.0 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $factors $unit) | int64 -}}
{{- end -}}
{{- end -}}

{{/* The bytes of a size as Kubernetes takes it, such as "2Gi" or 2147483648; nothing if it is none. */}}
{{- define "greenapi-bridge.quantity" -}}
{{- $text := kindIs "string" . | ternary . (int64 . | toString) -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?(k|[MGTP]|[KMGTP]i)?$" $text -}}
{{- include "greenapi-bridge.bytes" $text -}}
{{- end -}}
{{- end -}}

{{/* Why a value is no size for Kubernetes, and the nearest one, or an example. */}}
{{- define "greenapi-bridge.notQuantity" -}}
{{- $near := regexReplaceAll "[ bB]" (toString .value) "" -}}
is not a size as Kubernetes writes it; give {{ include "greenapi-bridge.quantity" $near | empty | ternary (printf "one such as %s" .example) $near }}
{{- end -}}

{{/* A number of bytes, rounded up. */}}
{{- define "greenapi-bridge.mebibytes" -}}
{{ divf . 1048576.0 | ceil | int64 }}Mi
{{- end -}}

{{/* The sizes that the journal has, or by default, as JSON. */}}
{{- define "greenapi-bridge.journalSizes" -}}
{{- $config := include "greenapi-bridge.withoutNulls" .Values.config.journal | fromJson -}}
{{- dict "size" .Values.journal.size "max" ($config.max_bytes | default "1GiB") "free" ($config.min_free | default "64MiB") | toJson -}}
{{- end -}}

{{/* The bytes that a volume needs for these sizes, with a tenth for the file system; nothing if one of them is no size. */}}
{{- define "greenapi-bridge.journalNeeds" -}}
{{- $max := include "greenapi-bridge.bytes" .max -}}
{{- $free := include "greenapi-bridge.bytes" .free -}}
{{- if and $max $free -}}
{{- divf (addf (float64 $max) (float64 $free)) 0.9 | ceil | int64 -}}
{{- end -}}
{{- end -}}
