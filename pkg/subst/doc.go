// Package subst puts variables into the text of an object, as Flux's post-build substitution does: ${NAME}, with the
// defaults and string functions of bash; $$ is a dollar sign.
//
// The rules are those of fluxcd/pkg/kustomize (SubstituteVariables) with Flux's default feature gates, on top of
// fluxcd/pkg/envsubst: nothing happens when the App has no variable of its own, unless it asks for it; a variable that is
// not set and has no default is an error; a value loses its line breaks. They work on the text that kustomize printed,
// so that a value can become a number where it stands without quotes.
//
// [Variables] are filled in order of precedence, the lowest first: the cluster's, then what the App takes from
// ConfigMaps and Secrets, in its order, then what it says itself.
package subst
