package main

import (
	"strings"
	"testing"
)

func TestRolloutPolicyIsMadeOfWaves(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	want(t, "YAML", b.ok("create", "rolloutpolicy", "careful", "--wave", "canary,select=tier=canary,select=env=prod,limit=1,soak=10m,approval=prod-go",
		"--wave", "rest,max-concurrent=25%,max-failures=1,min-updated=80%", "--max-unavailable", "5%", "--on-failure", "rollback",
		"--unmatched", "reject", "--on-new-revision", "supersede", "--manual", "--export").stdout, `---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: RolloutPolicy
metadata:
  name: careful
spec:
  autoStart: false
  maxUnavailable: 5%
  onFailure:
    action: Rollback
  onNewRevision: Supersede
  unmatched: Reject
  waves:
  - after:
    - soak:
        duration: 10m0s
    - approval:
        name: prod-go
    limit: 1
    name: canary
    select:
      matchLabels:
        env: prod
        tier: canary
  - maxConcurrent: 25%
    maxFailures: 1
    minUpdated: 80%
    name: rest`)
	want(t, "stdout", b.ok("create", "rp", "careful", "--wave", "all").stdout, "rolloutpolicy.fleet.flotilla.dev/careful created")
	for args, text := range map[string]string{
		"x":                                      "--wave",
		"x --wave a --wave a":                    `"a" is the name of two waves`,
		"x --wave a,max-concurrent=0":            "spec.waves[0].maxConcurrent",
		"x --wave a,limit=some":                  "spec.waves[0].limit",
		"x --wave a,soak=long":                   "spec.waves[0].after[0].soak.duration",
		"x --wave a,limit":                       `"limit" has no value`,
		"x --wave a,select=tier":                 "is not select=KEY=VALUE",
		"x --wave a,wait=1m":                     `"wait" is not select`,
		"x --wave a --wave b":                    `wave "a" before it takes every one`,
		"x --wave a --on-failure explode":        "spec.onFailure.action",
		"x --wave a --max-unavailable 0":         "spec.maxUnavailable",
		"x --wave ,limit=1":                      "spec.waves[0].name",
		"x --wave a --on-new-revision whichever": "spec.onNewRevision",
	} {
		b.fails(exitUsage, []string{text}, append([]string{"create", "rolloutpolicy"}, strings.Fields(args)...)...)
	}
}
