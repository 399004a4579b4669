package api

import (
	"math"

	"google.golang.org/protobuf/proto"
)

// pageBytes is where a page of a list ends: a message has 4 MiB. One entry always fits.
const pageBytes = 2 << 20

// page is how full a page of a list is.
type page struct {
	// limit of its entries.
	limit int
	// size of it in bytes, with what it has beside its entries.
	size    int
	entries int
}

// takes reports whether an entry of a size, in bytes, fits, and counts it if it does.
func (p *page) takes(size int) bool {
	if p.entries > 0 && (p.entries == p.limit || p.size+size > pageBytes) {
		return false
	}
	p.entries, p.size = p.entries+1, p.size+size
	return true
}

// fill returns those of the entries that the page takes: the first ones.
func fill[T proto.Message](p *page, entries []T) []T {
	for i, entry := range entries {
		if !p.takes(proto.Size(entry)) {
			return entries[:i]
		}
	}
	return entries
}

// pageSize is how many entries a page may have: what is asked for, or the standard, and no more than the limit.
func pageSize(asked int32, standard, limit int) (int, error) {
	switch {
	case asked < 0:
		return 0, invalid("page_size", "%d is below zero", asked)
	case asked == 0:
		return standard, nil
	}
	return min(int(asked), limit), nil
}

// unlimited is the limit of a page that ends by its bytes alone, unless less is asked for.
const unlimited = math.MaxInt32
