package main

import (
	"context"
	"os"
	"path/filepath"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	extensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// definitions are CRDs by the kind they define.
type definitions map[string]*apiextensions.CustomResourceDefinition

func readDefinitions(globs ...string) definitions {
	found := definitions{}
	for _, glob := range globs {
		for _, path := range must(filepath.Glob(glob)) {
			var published extensionsv1.CustomResourceDefinition
			if yaml.Unmarshal(must(os.ReadFile(path)), &published) != nil || published.Kind != "CustomResourceDefinition" {
				continue
			}
			internal := &apiextensions.CustomResourceDefinition{}
			if err := extensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&published, internal, nil); err != nil {
				panic(err)
			}
			found[published.Spec.Names.Kind] = internal
		}
	}
	return found
}

// check does what the API server does with a custom resource, except that it drops no field.
func (d definitions) check(kind string, written object, result *report) {
	definition := d[kind]
	if definition == nil {
		return
	}
	crdSchema := must(apiextensions.GetSchemaForVersion(definition, definition.Spec.Versions[0].Name))
	structural := must(schema.NewStructural(crdSchema.OpenAPIV3Schema))
	value := runtime.DeepCopyJSON(written)
	track := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(runtime.DeepCopyJSON(value), structural, true, track) {
		result.problem("%s: unknown field %s", kind, path)
	}
	defaulting.Default(value, structural)
	validator, _, err := validation.NewSchemaValidator(crdSchema.OpenAPIV3Schema)
	if err != nil {
		panic(err)
	}
	for _, problem := range validation.ValidateCustomResource(nil, value, validator) {
		result.problem("%s: %s", kind, problem.Error())
	}
	const perRule, perObject = 10_000_000, 1_000_000_000
	if rules := cel.NewValidator(structural, true, perRule); rules != nil {
		problems, _ := rules.Validate(context.Background(), nil, structural, value, nil, perObject)
		for _, problem := range problems {
			result.problem("%s: %s", kind, problem.Error())
		}
	}
	result.checked("CRD " + kind)
}
