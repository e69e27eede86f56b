{{- define "mixminus.name" -}}
{{- if contains "mixminus" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-mixminus" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mixminus.selector" -}}
app.kubernetes.io/name: mixminus
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mixminus.labels" -}}
{{ include "mixminus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* A table of mixminus.toml: values are JSON, which TOML reads but for objects. */}}
{{- define "mixminus.table" -}}
{{- range $key, $value := . }}
{{ $key }} = {{ include "mixminus.value" $value }}
{{- end }}
{{- end -}}

{{- define "mixminus.value" -}}
{{- if kindIs "map" . -}}
{ {{- $first := true -}}
{{- range $key, $value := . -}}
{{- if not $first }},{{ end }} {{ $key | quote }} = {{ include "mixminus.value" $value }}
{{- $first = false -}}
{{- end }} }
{{- else if kindIs "slice" . -}}
[{{- range $index, $value := . -}}{{ if $index }}, {{ end }}{{ include "mixminus.value" $value }}{{- end -}}]
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ . | int64 }}
{{- else -}}
{{ . | toJson }}
{{- end -}}
{{- end -}}
