package sdk

import (
	"helm.sh/helm/v4/pkg/kube"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubectl/pkg/validation"
)

// factory is Helm's, but that it takes for granted that the API server validates the fields of what it is sent, as all do that
// are supported. To find that out, Helm reads the description of each group of kinds, in every process: four fifths of the
// processor time of an installation. That is all that disableOpenAPIValidation spares elsewhere.
type factory struct{ kube.Factory }

// Validator implements kube.Factory.
func (factory) Validator(directive string) (validation.Schema, error) {
	if directive == metav1.FieldValidationIgnore {
		return validation.NullSchema{}, nil
	}
	return validation.NewParamVerifyingSchema(validation.NullSchema{}, atServer{}, directive), nil
}

// atServer says that the API server validates the fields of every kind. It is a resource.Verifier.
type atServer struct{}

func (atServer) HasSupport(schema.GroupVersionKind) error { return nil }
