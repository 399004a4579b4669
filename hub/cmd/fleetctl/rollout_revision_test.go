package main

import (
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestRevisionThatIsEmptyIsNotTheNewest(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	for args, text := range map[string]string{
		"wait ks/app --revision=":        "--revision is empty: a revision is such as main@sha1:<40 hex digits>",
		"wait ro-7k2f --revision=":       "--revision is empty",
		"plan ks/app --revision=":        "leave --revision out for the newest release",
		"start ks/app --revision= -y":    "--revision is empty",
		"rollback ks/app --to= -y":       "leave --to out for what was there before",
		"rollback ks/app --scope= -y":    `--scope "" is not Failed, Wave, Updated`,
		"start ks/app --expected-plan= ": `--expected-plan "" is not the digest of a plan`,
	} {
		b.fails(exitUsage, []string{text}, append([]string{"rollout"}, strings.Fields(args)...)...)
	}
	if n := len(requestsOf[*adminv1.StartRolloutRequest](b.hub)) + len(requestsOf[*adminv1.RollbackRequest](b.hub)); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestRolloutWaitDoesNotWaitForWhatIsNoRevision(t *testing.T) {
	t.Parallel()
	const hash = "ffff056df216eea4f9401adbee0ff744d4df390f"
	from := func(kind string) string {
		return strings.Replace(ksProgressing, "sourceRef: {kind: GitRepository", "sourceRef: {kind: "+kind, 1)
	}
	helm := strings.NewReplacer("kustomize.toolkit.fluxcd.io/v1", "helm.toolkit.fluxcd.io/v2", "kind: Kustomization", "kind: HelmRelease",
		"prune: true, sourceRef: {kind: GitRepository, name: app}",
		"chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: app}}}").Replace(ksProgressing)
	for name, test := range map[string]struct {
		app, object string
		never, may  []string
		looks       string
	}{
		"git": {ksProgressing, "ks/app", []string{"132bcd", "feb", "main", "HEAD", "main@sha1:132bcd", "sha1:132bcd", "FFFF056D", "v1.2.3", "main@132bcdef"},
			[]string{"132bcde", "sha1:132bcde", "main@sha1:132bcde", "main@sha1:" + hash[:39] + "0", "refs/heads/x@sha1:" + hash[:39] + "0", "sha256:132bcde"},
			"one of its GitRepository is such as main@sha1:<40 hex digits>"},
		"oci":    {from("OCIRepository"), "ks/app", []string{"latest", "6.5.0"}, []string{"6.5.0@sha256:" + hash + hash[:24], "6.5.0@sha256:132bcdef", "132bcde"}, "6.5.0@sha256:<64 hex digits>"},
		"bucket": {from("Bucket"), "ks/app", []string{"latest"}, []string{"sha256:132bcde"}, "sha256:<64 hex digits>"},
		"pushed": {from("ExternalArtifact"), "ks/app", []string{"two words"}, []string{"nightly", "132bcd"}, "one word, as it was pushed"},
		"helm":   {helm, "hr/app", []string{"main", "HEAD", "132bcd"}, []string{"6.5.0", "v6", "6.5.0-rc.1+132bcd", "132bcde"}, "the version of its chart, such as 6.5.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			b.hub.put(t, test.app)
			for _, text := range test.never {
				b.fails(exitUsage, []string{`"` + text + `" will never be a revision of ` + test.object, test.looks, "the first 7 digits or more", "try: --revision "},
					"rollout", "wait", test.object, "--revision", text)
			}
			for _, text := range test.may {
				b.fails(exitTimeout, []string{"has begun"}, "rollout", "wait", test.object, "--revision", text, "--timeout", "0")
			}
		})
	}
}
