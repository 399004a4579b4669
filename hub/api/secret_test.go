package api_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// dump is every row of the database as text.
func (b *bundle) dump() string {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(b.ctx) }() // only read from
	rows, err := conn.Query(b.ctx, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)
	if err != nil {
		b.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	var text strings.Builder
	for _, table := range tables {
		rows, err := conn.Query(b.ctx, `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` t`)
		if err != nil {
			b.t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			b.t.Fatal(err)
		}
		text.WriteString(strings.Join(lines, "\n"))
	}
	return text.String()
}

// A canary is given in every way a Secret can hold it, kubectl's copy included, and looked for wherever it could come
// out.
func TestContentOfASecretIsNowhereToBeRead(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	const canary = "hunter2-canary"
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	copied, err := json.Marshal(fmt.Sprintf(`{"kind":"Secret","data":{"password":%q},"stringData":{"token":%q}}`, encoded, canary))
	if err != nil {
		t.Fatal(err)
	}
	applied := b.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps","annotations":{
		"kubectl.kubernetes.io/last-applied-configuration":%s}},"type":"kubernetes.io/basic-auth","data":{"password":%q},"stringData":{"token":%q}}`, copied, encoded, canary))
	got, err := b.objects.Get(b.ctx, &adminv1.GetRequest{Kind: "Secret", Namespace: "apps", Name: "git"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := b.objects.List(b.ctx, &adminv1.ListRequest{Kind: "Secret"})
	if err != nil {
		t.Fatal(err)
	}
	dump := b.dump()
	want(t, dump, "Secret") // it holds what the database holds
	for place, text := range map[string]string{"the answer to apply": string(applied.GetObject()), "get": string(got.GetObject()), "list": fmt.Sprintf("%s", list.GetObjects()), "the database": dump} {
		for _, form := range []string{canary, encoded, hex.EncodeToString([]byte(canary)), hex.EncodeToString([]byte(encoded))} {
			if strings.Contains(text, form) {
				t.Errorf("%s holds the content of the Secret", place)
			}
		}
	}
	want(t, string(got.GetObject()), `"type":"kubernetes.io/basic-auth"`)
	if change := b.apply(string(got.GetObject())).GetChange(); change != adminv1.Change_CHANGE_UNCHANGED {
		t.Errorf("what get shows, applied again: %s", change)
	}
}
