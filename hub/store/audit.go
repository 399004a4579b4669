package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// AuditRow is one change that a person made.
type AuditRow struct {
	Number    int64
	At        time.Time
	Principal string
	Action    string
	Object    string
	Detail    string
	// Hash of the row and of all before it.
	Hash fleet.Digest
}

// auditLock serialises writers of the audit log: each row's hash covers the one before.
const auditLock = 0x61756469 // "audi"

// audit appends a row to the hash chain.
func audit(ctx context.Context, tx pgx.Tx, by fleet.Caller, act action) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, auditLock); err != nil {
		return explain("lock the audit log", err)
	}
	const last = `SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1`
	row := AuditRow{Principal: by.Principal, Action: act.verb, Object: act.object, Detail: act.detail}
	var previous []byte
	err := tx.QueryRow(ctx, last).Scan(&row.Number, &previous)
	if err != nil && err != pgx.ErrNoRows {
		return explain("read the audit log", err)
	}
	row.Number++
	row.At = time.Now().UTC().Truncate(time.Microsecond) // what the column keeps
	const insert = `INSERT INTO audit (number, at, principal, action, object, detail, previous, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	if previous == nil {
		previous = []byte{}
	}
	_, err = tx.Exec(ctx, insert, row.Number, row.At, row.Principal, row.Action, row.Object, row.Detail, previous, row.hash(previous).Bytes())
	return explain("write the audit log", err)
}

// hash covers the row and the hash before it.
func (r AuditRow) hash(previous []byte) fleet.Digest {
	h := sha256.New()
	h.Write(previous)
	_ = binary.Write(h, binary.BigEndian, r.Number)
	_ = binary.Write(h, binary.BigEndian, r.At.UnixMicro())
	for _, text := range []string{r.Principal, r.Action, r.Object, r.Detail} {
		_ = binary.Write(h, binary.BigEndian, uint32(len(text)))
		h.Write([]byte(text))
	}
	return fleet.Digest(h.Sum(nil))
}

// detail joins what is worth saying of an action.
func detail(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

// when is text, or nothing.
func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func confirmed(order fleet.Order) string {
	if order.Confirm == nil {
		return ""
	}
	return fmt.Sprintf("confirmed for %d clusters", *order.Confirm)
}

// VerifyAudit walks the audit log and returns its rows, oldest first. A row that was changed, or one that is missing
// between others, is fleet.ErrConflict.
func (s *Store) VerifyAudit(ctx context.Context) ([]AuditRow, error) {
	const query = `SELECT number, at, principal, action, object, detail, previous, hash FROM audit ORDER BY number`
	found, err := s.pool.Query(ctx, query)
	if err != nil {
		return nil, explain("read the audit log", err)
	}
	defer found.Close()
	var rows []AuditRow
	var last []byte
	for found.Next() {
		var r AuditRow
		var previous, hash []byte
		if err := found.Scan(&r.Number, &r.At, &r.Principal, &r.Action, &r.Object, &r.Detail, &previous, &hash); err != nil {
			return nil, explain("read the audit log", err)
		}
		r.Hash = r.hash(previous)
		if last != nil && string(last) != string(previous) || string(r.Hash.Bytes()) != string(hash) {
			return nil, fmt.Errorf("audit row %d: %w: the chain of hashes is broken", r.Number, fleet.ErrConflict)
		}
		rows, last = append(rows, r), hash
	}
	return rows, explain("read the audit log", found.Err())
}
