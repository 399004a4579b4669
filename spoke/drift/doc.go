// Package drift finds out from watches that an object is not as it was applied, and has it put right.
//
//   - Judge is the rule: a pure function of what is known of an object and what an event says. DESIGN.md says why it
//     is that rule.
//   - Tracker keeps 100 bytes an object, feeds Judge from one metadata-only watch a kind, and calls Correct for what
//     Judge found: one call at a time for an object, backed off when somebody keeps undoing it.
//   - Memory keeps the same on a volume, so that after a restart only what moved is looked at.
//   - Follow is list, then watch, for ever.
//
// What a correction is, the caller knows. The package reads metadata only and writes nothing to the cluster.
package drift
