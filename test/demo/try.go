package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// explain says what there is now, and what to try with it.
func (d *demo) explain(ctx context.Context, stays bool) error {
	fetches, err := d.fleet.Hub.Metric(ctx, "flotilla_source_calls_total", "call=fetch", "result=ok")
	if err != nil {
		return err
	}
	builds, err := d.fleet.Hub.Metric(ctx, "flotilla_hub_builds_total", "result=built")
	if err != nil {
		return err
	}
	instances := d.fleet.Fleetctl(ctx, "get", "ks/app@*")
	if err := instances.Err(); err != nil {
		return err
	}
	d.out.plain("\nAll clusters are ready after %s. For the %d of them, the hub fetched %s and built %s:\n\n%s",
		time.Since(d.out.started).Round(100*time.Millisecond), len(d.fleet.Members), times(fetches), times(builds), instances.Stdout)
	_, err = exec.LookPath("kubectl")
	var text strings.Builder
	if err := try.Execute(&text, struct {
		Demo           string
		Stays, Kubectl bool
	}{d.relative(), stays, err == nil}); err != nil {
		return err
	}
	d.out.plain("%s", strings.TrimSuffix(text.String(), "\n"))
	return nil
}

// times says how often something was done.
func times(count float64) string {
	switch count {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%.0f times", count)
}

// relative is the demo's directory as one types it in the checkout.
func (d *demo) relative() string {
	if filepath.Dir(d.dir) == d.root {
		return filepath.Base(d.dir)
	}
	return quote(d.dir)
}

var try = template.Must(template.New("try").Parse(`{{if .Stays}}Five things to try, in another terminal, in this directory:
{{- else}}Without --exit, the demo would stay up now, with five things to try:{{end}}

  source {{.Demo}}/env      # once: fleetctl on the PATH, and set to this hub

1. Look at the fleet, and at the app in one cluster:

  fleetctl status
  fleetctl get clusters -o wide
  fleetctl rollout status ks/app
  fleetctl describe ks/app@prod-1

2. Push a commit: it goes to the canary first, and then to prod. It is everywhere when the last command returns:

  sed -i 's/Hello/Good morning/' {{.Demo}}/repo/base/configmap.yaml
  git -C {{.Demo}}/repo commit -qam 'Greet by daytime' && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source
  fleetctl rollout wait ks/app --revision $(git -C {{.Demo}}/repo rev-parse HEAD)

3. Break it: the new image cannot be pulled. After 30 seconds the rollout is halted at the canary, with the reason, and the
   canary taken back by itself; prod is never touched. Then revert the commit, too:

  sed -i 's/fail: none/fail: image/' {{.Demo}}/repo/base/deployment.yaml
  git -C {{.Demo}}/repo commit -qam 'Break it' && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source
  fleetctl rollout wait ks/app --revision $(git -C {{.Demo}}/repo rev-parse HEAD)
  fleetctl get ks/app@*
  fleetctl rollout history ks/app
  git -C {{.Demo}}/repo revert --no-edit HEAD && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source --wait

4. Empty the path in Git: nothing is deleted, because the prune guard holds what would empty an app, and the rollout waits
   for that at the canary. Then go back:

  echo 'resources: []' > {{.Demo}}/repo/overlays/demo/kustomization.yaml
  git -C {{.Demo}}/repo commit -qam 'Remove everything' && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source
  fleetctl wait ks/app@canary-1 --for=condition=PruneHeld
  fleetctl prune show ks/app
  git -C {{.Demo}}/repo revert --no-edit HEAD && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source --wait
{{if .Kubectl}}
5. Kill the hub, and meddle with a cluster while it is gone: the spoke puts it right. After 10 seconds the hub is back:

  kill -9 $(cat {{.Demo}}/hub.pid)
  kubectl --kubeconfig {{.Demo}}/clusters/prod-1/kubeconfig -n hello delete deployment hello
  kubectl --kubeconfig {{.Demo}}/clusters/prod-1/kubeconfig -n hello get deployment hello
  until fleetctl status; do sleep 2; done
{{else}}
5. Kill the hub: the clusters stay as they are. After 10 seconds it is back, and knows them:

  kill -9 $(cat {{.Demo}}/hub.pid)
  until fleetctl status; do sleep 2; done

   With kubectl, meddle with a cluster meanwhile; the spoke puts it right: {{.Demo}}/clusters/prod-1/kubeconfig
{{end}}{{if .Stays}}
Ctrl-C ends the demo and everything it started.
{{end}}`))
