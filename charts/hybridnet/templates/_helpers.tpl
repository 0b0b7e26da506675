{{/* A tag of the Go releases can only come from values of the old chart that an upgrade re-used. */}}
{{- define "hybridnet.tagIsOld" -}}
{{- if regexMatch "^v?0\\.[0-8]\\.[0-9]+$" (toString (dig "images" "hybridnet" "tag" "" .Values.AsMap)) }}true{{ end -}}
{{- end -}}

{{- define "hybridnet.image" -}}
{{- $images := dig "images" dict .Values.AsMap -}}
{{- $tag := toString (dig "hybridnet" "tag" "" $images) -}}
{{- if or (not $tag) (include "hybridnet.tagIsOld" .) -}}
{{- $tag = printf "v%s" .Chart.AppVersion -}}
{{- end -}}
{{- printf "%s/%s:%s" (dig "registryURL" "docker.io" $images) (dig "hybridnet" "image" "hybridnetdev/hybridnet" $images) $tag -}}
{{- end -}}

{{- define "hybridnet.pullPolicy" -}}
{{- dig "images" "hybridnet" "imagePullPolicy" "IfNotPresent" .Values.AsMap -}}
{{- end -}}

{{- define "hybridnet.pullSecrets" -}}
{{- with dig "images" "pullSecrets" list .Values.AsMap -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Kinds whose pods are stateful: by name alone, and with the right to read them. */}}
{{- define "hybridnet.statefulKinds" -}}
{{- $kinds := list -}}
{{- range splitList "," (toString (default "" (dig "statefulWorkloadKinds" "StatefulSet" .Values.AsMap))) -}}
{{- with trim . -}}{{- $kinds = append $kinds . -}}{{- end -}}
{{- end -}}
{{- range dig "manager" "statefulWorkloads" list .Values.AsMap -}}
{{- $kinds = append $kinds .kind -}}
{{- end -}}
{{- join "," (uniq $kinds) -}}
{{- end -}}

{{/* Policy that manager, webhook and daemon must agree on, so that they read a pod alike. */}}
{{- define "hybridnet.policyArgs" -}}
{{- $v := .Values.AsMap -}}
- --default-ip-retain={{ dig "defaultIPRetain" true $v }}
- --stateful-workload-kinds={{ include "hybridnet.statefulKinds" . }}
- --feature-gates=MultiCluster={{ dig "multiCluster" false $v }},VMIPRetain={{ dig "vmIPRetain" false $v }}
- --zap-encoder={{ dig "logFormat" "json" $v }}
- --zap-log-level={{ dig "logLevel" "info" $v }}
{{- end -}}

{{- define "hybridnet.policyEnv" -}}
- name: DEFAULT_NETWORK_TYPE
  value: {{ dig "defaultNetworkType" "Overlay" .Values.AsMap | quote }}
- name: DEFAULT_IP_FAMILY
  value: {{ dig "defaultIPFamily" "IPv4" .Values.AsMap | quote }}
- name: NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end -}}

{{- define "hybridnet.tolerations" -}}
{{- with . -}}
{{- toYaml . -}}
{{- else -}}
- operator: Exists
{{- end -}}
{{- end -}}

{{/* {root, component}. Two pods of one component cannot share a node: they use the node's own ports. */}}
{{- define "hybridnet.replicas" -}}
{{- $given := dig .component "replicas" nil .root.Values.AsMap -}}
{{- if not (kindIs "invalid" $given) -}}
{{- int $given -}}
{{- else -}}
{{- $selector := dig .component "nodeSelector" dict .root.Values.AsMap -}}
{{- $nodes := 0 -}}
{{- range (lookup "v1" "Node" "" "").items -}}
{{- $labels := default dict .metadata.labels -}}
{{- $fits := true -}}
{{- range $key, $value := $selector -}}
{{- if ne (toString $value) (toString (index $labels $key)) -}}{{- $fits = false -}}{{- end -}}
{{- end -}}
{{- if $fits -}}{{- $nodes = add1 $nodes -}}{{- end -}}
{{- end -}}
{{- if $nodes -}}{{- min 3 $nodes -}}{{- else -}}3{{- end -}}
{{- end -}}
{{- end -}}

{{/* {root, component, nodeSelector}. Spread, and to the control plane where there is one; neither is worth a pending pod. */}}
{{- define "hybridnet.affinity" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            app: hybridnet
            component: {{ .component }}
{{- if not .nodeSelector }}
nodeAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 50
      preference:
        matchExpressions:
          - key: node-role.kubernetes.io/control-plane
            operator: Exists
{{- if semverCompare "<1.24-0" .root.Capabilities.KubeVersion.Version }}
    - weight: 50
      preference:
        matchExpressions:
          - key: node-role.kubernetes.io/master
            operator: Exists
{{- end }}
{{- end }}
{{- end -}}

{{/* What manager and webhook need of the kernel: nothing. */}}
{{- define "hybridnet.unprivileged" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- if semverCompare ">=1.19-0" .Capabilities.KubeVersion.Version }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- end -}}

{{- define "hybridnet.pdbVersion" -}}
{{- if semverCompare ">=1.21-0" .Capabilities.KubeVersion.Version }}policy/v1{{ else }}policy/v1beta1{{ end -}}
{{- end -}}

{{/* The CNI plugins that are chained or provided beside ours, as a list. */}}
{{- define "hybridnet.communityPlugins" -}}
{{- $names := list -}}
{{- range splitList "," (dig "daemon" "neededCommunityCNIPlugins" "loopback,bandwidth" .Values.AsMap) -}}
{{- with trim . -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* {root, privileged, capabilities}. Root on the host's files, with the capabilities named and no more. */}}
{{- define "hybridnet.hostAccess" -}}
runAsUser: 0
readOnlyRootFilesystem: true
{{- if .privileged }}
privileged: true
{{- else }}
privileged: false
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add: {{ toJson .capabilities }}
{{- /* Confined domains may neither write /opt/cni/bin nor enter a pod's namespace. */}}
seLinuxOptions:
  level: s0
  type: spc_t
{{- if semverCompare ">=1.30-0" .root.Capabilities.KubeVersion.Version }}
appArmorProfile:
  type: Unconfined
{{- end }}
{{- end }}
{{- end -}}

{{/* {root, live, wanted}: "true" or nothing. See init-network.yaml. */}}
{{- define "hybridnet.rendersInit" -}}
{{- if .root.Release.IsInstall -}}
{{- if and .wanted (not .live) (not (dig "withoutNetwork" false (default dict .wanted))) -}}true{{- end -}}
{{- else -}}
{{- $annotations := default dict (dig "metadata" "annotations" dict .live) -}}
{{- if eq (toString (index $annotations "meta.helm.sh/release-name")) .root.Release.Name -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hybridnet.initAnnotations" -}}
{{- if .root.Release.IsInstall -}}
helm.sh/hook: pre-install
helm.sh/hook-weight: {{ .weight | quote }}
{{- /* Any other policy, and none, would delete the object before it is made. */}}
helm.sh/hook-delete-policy: hook-failed
{{- else -}}
helm.sh/resource-policy: keep
{{- end -}}
{{- end -}}

{{- define "hybridnet.notOurOwn" -}}
- name: not-our-own
  expression: "!(request.namespace == 'kube-system' && has(object.metadata.labels) && 'app' in object.metadata.labels && object.metadata.labels['app'] == 'hybridnet')"
{{- end -}}

{{/*
The CA bundles belong to the webhook, which patches them in. What Helm never rendered it never touches, so
our own installations carry a mark and no bundle. A configuration without the mark comes from an older chart
that did render one: Helm would take it out for being absent, so the live one is repeated, in every revision.
*/}}
{{- define "hybridnet.bundleIsTheWebhooks" -}}
{{- $annotations := default dict (dig "metadata" "annotations" dict .live) -}}
{{- if or (not .live) (index $annotations "networking.alibaba.com/ca-bundle") -}}true{{- end -}}
{{- end -}}

{{- define "hybridnet.bundleMark" -}}
{{- if include "hybridnet.bundleIsTheWebhooks" . -}}
annotations:
  networking.alibaba.com/ca-bundle: patched by hybridnet-webhook
{{- end -}}
{{- end -}}

{{/* {live, name} */}}
{{- define "hybridnet.liveBundle" -}}
{{- if not (include "hybridnet.bundleIsTheWebhooks" .) -}}
{{- $wanted := .name -}}
{{- range .live.webhooks -}}
{{- if and (eq .name $wanted) .clientConfig.caBundle -}}
caBundle: {{ .clientConfig.caBundle }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
