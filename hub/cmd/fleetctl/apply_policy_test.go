package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const placedByPolicy = `
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: app}
spec: {apps: [{kind: Kustomization, name: app}], clusters: {selector: {matchLabels: {env: prod}}}, rolloutPolicyRef: {name: prod}}
`

const noPolicyProd = "Warning: pl/app: no RolloutPolicy prod is declared: nothing new is rolled out until it is"

func TestApplyWarnsOfAPolicyThatIsNotDeclared(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	file := b.write("placement.yaml", placedByPolicy)
	for _, args := range []string{"--dry-run", "", "-q -o json"} { // the last changes nothing
		r := b.ok(append([]string{"apply", "-f", file}, strings.Fields(args)...)...)
		if n := strings.Count(r.stderr, noPolicyProd); n != 1 {
			t.Errorf("%s: told %d times:\n%s", args, n, r.stderr)
		}
	}
	b.hub.fail("Get", status.Error(codes.PermissionDenied, "not for you"))
	if r := b.ok("apply", "-f", file); r.stderr != "" {
		t.Errorf("where the hub does not say: %s", r.stderr)
	}
}

func TestApplyThatBringsThePolicyWithItWarnsOfNone(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	both := b.write("both.yaml", placedByPolicy+"---"+policyYAML) // in any order
	placement := b.write("placement.yaml", placedByPolicy)
	for _, args := range []string{both + " --dry-run", both, placement} { // then it is there
		if r := b.ok(append([]string{"apply", "-f"}, strings.Fields(args)...)...); strings.Contains(r.stderr, "Warning") {
			t.Errorf("%s: %s", args, r.stderr)
		}
	}
}
