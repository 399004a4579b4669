package e2e

import (
	"encoding/pem"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/test/lab"
)

// A hub that was down for days must not need a new join token for every cluster.
func TestSpokeWhoseCertificateRanOutFindsItsHubAgainByItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fleet, err := lab.StartFleet(t.Context(), lab.FleetConfig{Dir: dir, Binaries: lab.TestBinaries(t), Clusters: []lab.FleetCluster{cluster("prod-1")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	a, m := newApp(t, fleet), fleet.Members[0]
	a.settle()
	m.Spoke.Kill()
	a.age(m, filepath.Join(dir, "hub", "hub.key"), 3*24*time.Hour)
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	if err := m.Spoke.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.settle()
	a.data(m, "app", map[string]string{"value": "second"})
}

// age makes the certificate of a cluster, at its spoke and at the hub, one that ran out so long ago.
func (a *app) age(m *lab.Member, keyFile string, ago time.Duration) {
	a.t.Helper()
	ctx := a.t.Context()
	cluster, serial := a.certify(m, keyFile, time.Now().Add(-certificateLife-ago))
	database, err := url.Parse(a.fleet.Postgres.URL())
	if err != nil {
		a.t.Fatal(err)
	}
	database.Path = "/flotilla"
	conn, err := pgx.Connect(ctx, database.String())
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close(ctx)
	const replace = `UPDATE cluster SET serial = convert_to($2, 'UTF8'), next_serial = NULL WHERE id = $1`
	if _, err := conn.Exec(ctx, replace, cluster.String(), serial); err != nil {
		a.t.Fatal(err)
	}
}

const certificateLife = 24 * time.Hour

// certify gives the spoke of a cluster a certificate that the hub's CA issued then, and that the hub has no record of.
func (a *app) certify(m *lab.Member, keyFile string, then time.Time) (cluster uuid.UUID, serial string) {
	a.t.Helper()
	ctx := a.t.Context()
	root, err := identity.LoadKey(keyFile)
	if err != nil {
		a.t.Fatal(err)
	}
	secrets := a.client(m).CoreV1().Secrets("flotilla-system")
	secret, err := secrets.Get(ctx, "flotilla-spoke", metav1.GetOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	key, err := identity.DecodeClientKey(secret.Data["tls.key"])
	if err != nil {
		a.t.Fatal(err)
	}
	request, err := identity.NewRequest(key)
	if err != nil {
		a.t.Fatal(err)
	}
	if cluster, err = uuid.ParseBytes(secret.Data["cluster-id"]); err != nil {
		a.t.Fatal(err)
	}
	issued, err := root.Authority().IssueClient(request, cluster, identity.DefaultTrustDomain, certificateLife, then)
	if err != nil {
		a.t.Fatal(err)
	}
	secret.Data["tls.crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issued.DER})
	if _, err := secrets.Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
		a.t.Fatal(err)
	}
	return cluster, issued.Serial
}
