// Package expr compiles and evaluates the CEL expressions of declared objects, as Flux does: [Health] tells how objects of
// a kind are (Kustomization spec.healthCheckExprs), [Ready] whether a dependency is (spec.dependsOn[].readyExpr), [Filter]
// whether a call of a webhook is about an object (Receiver spec.resourceFilter and resources[].filter), and [Claims]
// whether the token of a caller is a good one (spec.oidcProviders[]).
//
// The hub compiles what is declared, so that an expression which cannot work is refused by name; the spoke compiles and
// evaluates. What tenants write is bounded: how long an expression may be, what its evaluation may cost, and how large
// what it makes along the way.
package expr
