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
{{- if regexMatch "^[0-9]+(\\.[0-9]+)? *([kKMGT]i?[bB]?|[bB])?$" $text -}}
{{- $unit := regexFind "[a-zA-Z]*$" $text | lower | trimSuffix "b" -}}
{{- $factors := dict "" 1.0 "k" 1e3 "m" 1e6 "g" 1e9 "t" 1e12 "ki" 1024.0 "mi" 1048576.0 "gi" 1073741824.0 "ti" 1099511627776.0 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $factors $unit) | int64 -}}
{{- end -}}
{{- end -}}
