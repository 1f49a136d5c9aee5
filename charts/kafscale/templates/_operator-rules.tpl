{{/*
What the operator may do, by purpose. Each rule is one that its code needs; tools/chart/operator-rights.ts says which code, and a test
compares both.
*/}}

{{/* The two resources: read, set back in scale, keep a finalizer on a topic, and say how they are. */}}
{{- define "kafscale.rules.resources" -}}
- apiGroups: [kafscale.io]
  resources: [kafscaleclusters]
  verbs: [list, watch]
- apiGroups: [kafscale.io]
  resources: [kafscaletopics]
  verbs: [list, watch, patch]
- apiGroups: [kafscale.io]
  resources: [kafscaleclusters/scale]
  verbs: [patch]
- apiGroups: [kafscale.io]
  resources: [kafscaleclusters/status, kafscaletopics/status]
  verbs: [patch]
# To be the owner that blocks deletion of its children.
- apiGroups: [kafscale.io]
  resources: [kafscaleclusters/finalizers]
  verbs: [update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* What clusters are made of. */}}
{{- define "kafscale.rules.workloads" -}}
- apiGroups: ['']
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# A broker's pod that is to go is marked; only a member of etcd that cannot get on is deleted, to start anew.
- apiGroups: ['']
  resources: [pods]
  verbs: [list, watch, patch, delete]
{{- end -}}

{{/* Secrets are read one by one, by the names that resources give, and made for control ports. None is listed or changed. */}}
{{- define "kafscale.rules.secrets" -}}
- apiGroups: ['']
  resources: [secrets]
  verbs: [get, create]
{{- end -}}
