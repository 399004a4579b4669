package fleet

import "strconv"

// Horizon is the transaction horizon of a read of the store: every transaction before it had ended. Rows written from
// it on may have been missed by the read; asking for them next misses nothing and repeats little. The zero Horizon
// asks for everything.
type Horizon uint64

// String is the number in decimal.
func (h Horizon) String() string { return strconv.FormatUint(uint64(h), 10) }
