// Package inventory keeps, in the cluster itself, which objects an App owns there: the truth that deletions come from.
//
//   - Inventory is one App's: an Entry an object, saved before the object is first written, so that whatever happens no
//     object is without an owner.
//   - Store keeps it in ConfigMaps, in shards of which only the changed ones are written.
//   - Guard holds deletions that look like a mistake.
package inventory
