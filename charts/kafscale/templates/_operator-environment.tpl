{{/* Variables of the operator, as its configuration names them. */}}
{{- define "kafscale.operatorEnvironment" -}}
{{- $name := include "kafscale.operatorName" . -}}
- name: BROKER_IMAGE
  value: {{ include "kafscale.image" . }}
- name: BROKER_IMAGE_PULL_POLICY
  value: {{ .Values.image.pullPolicy }}
- name: KAFSCALE_OPERATOR_ETCD_IMAGE
  value: {{ include "kafscale.imageOf" (dict "image" .Values.etcdImage "tag" "") }}
- name: KAFSCALE_OPERATOR_LEADER_KEY
  value: {{ $name }}
{{- with .Values.operator.watchNamespaces }}
- name: KAFSCALE_OPERATOR_WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: KAFSCALE_OPERATOR_POD_LABELS
  value: {{ include "kafscale.operatorSelectorText" . | quote }}
- name: KAFSCALE_OPERATOR_METRICS_ADDR
  value: ':8080'
- name: KAFSCALE_OPERATOR_STREAM_METRICS_ADDR
  value: ':9095'
- name: KAFSCALE_OPERATOR_METRICS_ENDPOINT
  value: {{ printf "%s-stream.%s.svc:9095" $name .Release.Namespace }}
{{- if .Values.operator.externalMetrics.enabled }}
- name: KAFSCALE_OPERATOR_EXTERNAL_METRICS_ADDR
  value: ':8443'
{{- end }}
- name: KAFSCALE_LOG_LEVEL
  value: {{ .Values.operator.logLevel }}
{{- end -}}
