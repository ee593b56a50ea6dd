package main

import (
	"encoding/json"

	trainerconfig "github.com/kubeflow/trainer/v2/pkg/apis/config/v1alpha1"
	trainer "github.com/kubeflow/trainer/v2/pkg/apis/trainer/v1alpha1"
	"github.com/kubeflow/trainer/v2/pkg/runtime/core"
	trainertesting "github.com/kubeflow/trainer/v2/pkg/util/testing"
	trainerwebhooks "github.com/kubeflow/trainer/v2/pkg/webhooks"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	jobset "sigs.k8s.io/jobset/api/jobset/v1alpha2"
)

// expand passes runtime and TrainJob through Trainer's webhooks and makes the JobSet of them that
// Trainer's controller would apply.
func (c *checker) expand(parts *manifest, result *report) *jobset.JobSet {
	trainJob := parts.trainJob
	if trainJob.Namespace == "" {
		trainJob.Namespace = metav1.NamespaceDefault
	}
	trainJob.UID = "1" // owners need one
	builder := trainertesting.NewClientBuilder()
	for _, found := range parts.runtimes {
		if _, ok := found.(*trainer.TrainingRuntime); ok && found.GetNamespace() == "" {
			found.SetNamespace(metav1.NamespaceDefault)
		}
		builder = builder.WithObjects(found)
	}
	runtimes := must(core.New(c.ctx, builder.Build(), trainertesting.AsIndex(builder), &trainerconfig.Configuration{}))
	manager := c.newManager()
	must(trainerwebhooks.Setup(manager, runtimes))
	kind := func(name string) metav1.GroupVersionKind {
		return metav1.GroupVersionKind{Group: "trainer.kubeflow.org", Version: "v1alpha1", Kind: name}
	}
	for _, found := range parts.runtimes {
		admit(manager, "validate", found, kind(found.GetObjectKind().GroupVersionKind().Kind), result)
	}
	admit(manager, "validate", trainJob, kind("TrainJob"), result)
	objects, err := runtimes[*trainJob.Spec.RuntimeRef.Kind+".trainer.kubeflow.org"].NewObjects(c.ctx, trainJob)
	if err != nil {
		result.problem("Trainer cannot expand the TrainJob: %v", err)
	}
	for _, made := range objects {
		raw := must(json.Marshal(made))
		plain, typed := object{}, &jobset.JobSet{}
		if json.Unmarshal(raw, &plain) == nil && plain["kind"] == "JobSet" && json.Unmarshal(raw, typed) == nil {
			result.checked("expanded by Trainer")
			c.crds.check("JobSet", plain, result)
			return typed
		}
	}
	return nil
}
