package store

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// What goes from the table goes from the storage; what could not be removed, or has no row, is found later.
func TestObjectsGoWithTheirRows(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
	k.put("old")
	k.put("older")
	k.exec(t, `UPDATE blob SET used_at = now() - interval '2 days'`)
	fresh := k.put("fresh")
	if err := k.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := k.objectKeys(); len(keys) != 1 || k.object(fresh) != keys[0] {
		t.Errorf("objects %v, want that of the fresh blob", keys)
	}
	heal := k.harm(lab.Status(503))
	k.exec(t, `UPDATE blob SET used_at = now() - interval '2 days'`)
	if err := k.retain(t.Context()); err != nil {
		t.Errorf("rows stay because the storage is away: %v", err)
	}
	heal()
	if n, keys := k.count(t, `blob`), k.objectKeys(); n != 0 || len(keys) != 1 {
		t.Errorf("%d rows, objects %v; want a row less and its object left over", n, keys)
	}
	again := k.put("fresh") // under another name
	if err := k.sweepList(t.Context(), time.Now().Add(-orphanAge)); err != nil {
		t.Fatal(err)
	}
	if keys := k.objectKeys(); len(keys) != 2 {
		t.Errorf("objects %v, want the young one too that no row names", keys)
	}
	if err := k.sweepList(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if keys := k.objectKeys(); len(keys) != 1 {
		t.Errorf("objects %v, want the one that a row names", keys)
	}
	if got, err := k.Blobs().Get(t.Context(), again); err != nil || string(got) != "fresh" {
		t.Errorf("%q, %v", got, err)
	}
}

// A sweep that removes an object behind its row meets a replica that stores the same blob again in between.
func TestABlobThatIsStoredAgainWhileItGoesKeepsItsObject(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
	digest := k.put("content")
	var going []place
	rows, err := k.pool.Query(t.Context(), `DELETE FROM blob RETURNING digest, object`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		p, err := scanPlace(rows)
		if err != nil {
			t.Fatal(err)
		}
		going = append(going, p)
	}
	k.put("content")
	k.removeObjects(t.Context(), going)
	if got, err := k.Blobs().Get(t.Context(), digest); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheListOfObjectsIsComparedOnceADay(t *testing.T) {
	t.Parallel()
	k := openKept(t, lab.TestDatabaseFrom(t, "schema", Migrate), testS3(t))
	lists := func() int {
		before := k.s3.Lists()
		if err := k.retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		return k.s3.Lists() - before
	}
	if n := lists(); n != 0 {
		t.Errorf("%d lists of a new store", n)
	}
	k.exec(t, `UPDATE hub SET blobs_listed_at = now() - interval '25 hours'`)
	if first, second := lists(), lists(); first != 1 || second != 0 {
		t.Errorf("%d lists, then %d; want one", first, second)
	}
}
