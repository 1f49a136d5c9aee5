{{- define "kafscale.minioSelector" -}}
app.kubernetes.io/name: {{ include "kafscale.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: minio
{{- end -}}

{{- define "kafscale.minioSecret" -}}
{{- default (printf "%s-minio" .Values.demo.name) .Values.demo.minio.existingSecret -}}
{{- end -}}

{{- define "kafscale.demoBucket" -}}records{{- end -}}
