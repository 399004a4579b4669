package main

// Objects that tests put into the hub.
const (
	gitApp = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: apps, creationTimestamp: "2026-03-01T10:00:00Z"}
spec: {interval: 1m, url: "https://git.example.com/app.git"}
status:
  artifact: {revision: "main@sha1:696f056df216eea4f9401adbee0ff744d4df390f", digest: "sha256:aa"}
  conditions: [{type: Ready, status: "True", reason: Succeeded, message: "stored artifact"}]
`
	ksApp = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: apps, generation: 2, labels: {team: a}, creationTimestamp: "2026-03-01T10:00:00Z"}
spec: {interval: 10m, path: ./deploy, prune: true, wait: true, sourceRef: {kind: GitRepository, name: app}}
status:
  observedGeneration: 2
  lastAppliedRevision: main@sha1:696f056df216eea4f9401adbee0ff744d4df390f
  lastAttemptedRevision: main@sha1:696f056df216eea4f9401adbee0ff744d4df390f
  rollout: {id: ro-7k2f, phase: Running, waveNumber: 1, waves: 3, stable: "sha256:57ab1e00", stableRevision: "main@sha1:0ld0000df216eea4f9401adbee0ff744d4df390f"}
  conditions: [{type: Ready, status: "True", reason: ReconciliationSucceeded, message: "ready in 3 clusters", lastTransitionTime: "2026-03-01T11:55:00Z"}]
  fleet: {total: 3, ready: 3}
`
	// ksProgressing is an App that is not there yet.
	ksProgressing = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: apps, generation: 2}
spec: {interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: app}}
status:
  observedGeneration: 2
  lastAttemptedRevision: main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f
  conditions: [{type: Ready, status: Unknown, reason: Progressing, message: "1 of 3 clusters"}]
  fleet: {total: 3, ready: 1, progressing: 2}
`
	ksStalled = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: apps, generation: 2}
spec: {interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: app}}
status:
  observedGeneration: 2
  lastAttemptedRevision: main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f
  conditions:
  - {type: Ready, status: "False", reason: BuildFailed, message: "no such path"}
  - {type: Stalled, status: "True", reason: BuildFailed, message: "no such path ./deploy"}
`
	instanceCanary = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: apps, annotations: {fleet.flotilla.dev/cluster: canary-1}}
spec: {interval: 10m, path: ./deploy, prune: true, wait: true, sourceRef: {kind: GitRepository, name: app}}
status:
  lastAppliedRevision: main@sha1:696f056df216eea4f9401adbee0ff744d4df390f
  lastAttemptedRevision: main@sha1:696f056df216eea4f9401adbee0ff744d4df390f
  conditions: [{type: Ready, status: "True", reason: ReconciliationSucceeded, message: "applied"}, {type: Healthy, status: "True"}]
  fleet: {generation: 4, release: "sha256:0123456789abcdef0123", reportedAt: "2026-03-01T11:59:30Z", connected: true}
`
	// instanceBroken has an object that is not ready and deletions that are held.
	instanceBroken = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: apps, annotations: {fleet.flotilla.dev/cluster: prod-1}}
spec: {interval: 10m, path: ./deploy, prune: true, wait: true, sourceRef: {kind: GitRepository, name: app}}
status:
  lastAttemptedRevision: main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f
  conditions:
  - {type: Ready, status: "False", reason: HealthCheckFailed, message: "health check failed"}
  - {type: Healthy, status: "False"}
  - {type: PruneHeld, status: "True", reason: PruneHeld}
  fleet:
    generation: 5
    connected: true
    reportedAt: "2026-03-01T11:59:00Z"
    notReady: [{object: {group: apps, version: v1, kind: Deployment, namespace: apps, name: web}, status: InProgress, message: "ImagePullBackOff: registry/app:2"}]
    pruneHeld: {digest: "sha256:1111222233334444", count: 12, reason: "the new set is empty"}
`
	placementApp = `
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: app, namespace: apps, creationTimestamp: "2026-03-01T10:00:00Z"}
spec: {apps: [{kind: Kustomization, name: app}], clusters: {selector: {matchLabels: {env: prod}}, names: [canary-1]}}
status: {matched: [canary-1, prod-1, prod-2], conditions: [{type: Ready, status: "True", message: "placed"}]}
`
	clusterProd = `
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Cluster
metadata: {name: prod-1, labels: {env: prod, region: eu}, creationTimestamp: "2026-03-01T10:00:00Z"}
status:
  clusterID: 0b2f
  lastSeen: "2026-03-01T11:59:58Z"
  spokeVersion: v0.3.1
  kubernetesVersion: v1.36.3
  apps: {total: 2, ready: 1, failed: 1}
  conditions: [{type: Ready, status: "False", message: "1 app failed"}, {type: Connected, status: "True"}]
`
	// clusterLost is one that the hub is behind of.
	clusterLost = `
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Cluster
metadata: {name: prod-2, labels: {env: prod}}
status:
  lastSeen: "2026-03-01T11:00:00Z"
  apps: {total: 1, ready: 0}
  unknownAssignments: [Kustomization/apps/old]
  conditions:
  - {type: Ready, status: Unknown, message: "not heard of for 1h"}
  - {type: Connected, status: "False"}
  - {type: SafeMode, status: "True", message: "the hub is behind this cluster"}
`
	secretGit = `
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: apps, creationTimestamp: "2026-03-01T10:00:00Z"}
type: Opaque
data: {password: aHVudGVyMg==}
`
)
