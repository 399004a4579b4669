package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// explain says what there is now, and what to try with it.
func (d *demo) explain(ctx context.Context) {
	d.out.plain("\nAll clusters are ready after %s. The hub fetched the commit once and built it once:\n",
		time.Since(d.out.started).Round(100*time.Millisecond))
	if shown := d.fleet.Fleetctl(ctx, "get", "ks/app@*"); shown.Err() == nil {
		d.out.plain("%s", strings.TrimRight(shown.Stdout, "\n"))
	}
	_, err := exec.LookPath("kubectl")
	var text strings.Builder
	if err := try.Execute(&text, struct {
		Demo    string
		Kubectl bool
	}{d.relative(), err == nil}); err != nil {
		d.out.plain("%v", err)
		return
	}
	d.out.plain("%s", text.String())
}

// relative is the demo's directory as one types it in the checkout.
func (d *demo) relative() string {
	if root := filepath.Dir(d.bin); filepath.Dir(d.dir) == root {
		return filepath.Base(d.dir)
	}
	return quote(d.dir)
}

var try = template.Must(template.New("try").Parse(`
Five things to try, in another terminal, in this directory:

  source {{.Demo}}/env      # once: fleetctl on the PATH, and set to this hub

1. Look at the fleet, and at the app in one cluster:

  fleetctl status
  fleetctl get clusters -o wide
  fleetctl describe ks/app@prod-1

2. Push a commit; it is in all clusters when the last command returns:

  sed -i 's/Hello/Good morning/' {{.Demo}}/repo/base/configmap.yaml
  git -C {{.Demo}}/repo commit -qam 'Greet by daytime' && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source --wait

3. Break it: the new image cannot be pulled. After 30 seconds it shows as failed, with the reason. Then go back:

  sed -i 's/fail: none/fail: image/' {{.Demo}}/repo/base/deployment.yaml
  git -C {{.Demo}}/repo commit -qam 'Break it' && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source --wait
  git -C {{.Demo}}/repo revert --no-edit HEAD && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source --wait

4. Empty the path in Git: nothing is deleted, because the prune guard holds what would empty an app. Then go back:

  echo 'resources: []' > {{.Demo}}/repo/overlays/demo/kustomization.yaml
  git -C {{.Demo}}/repo commit -qam 'Remove everything' && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source --wait
  fleetctl prune show ks/app
  git -C {{.Demo}}/repo revert --no-edit HEAD && git -C {{.Demo}}/repo push -q
  fleetctl reconcile ks/app --with-source --wait
{{if .Kubectl}}
5. Kill the hub, and meddle with a cluster while it is gone; its spoke puts it right. The demo starts the hub again:

  kill -9 $(cat {{.Demo}}/hub.pid)
  kubectl --kubeconfig {{.Demo}}/clusters/prod-1/kubeconfig -n hello delete deployment hello
  kubectl --kubeconfig {{.Demo}}/clusters/prod-1/kubeconfig -n hello get deployment hello
{{else}}
5. Kill the hub: the clusters stay as they are, and connect again when the demo has started it again, 10 seconds later.
   (With kubectl, change something meanwhile: the spokes put it right. The kubeconfigs are {{.Demo}}/clusters/*/kubeconfig.)

  kill -9 $(cat {{.Demo}}/hub.pid)
  fleetctl wait cluster/canary-1 cluster/prod-1 cluster/prod-2 --for=connected
{{end}}
Ctrl-C ends the demo and everything it started.`))
