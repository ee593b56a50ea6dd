package main

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchdefaults "k8s.io/kubernetes/pkg/apis/batch/v1"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
	security "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	jobset "sigs.k8s.io/jobset/api/jobset/v1alpha2"
	jobsetwebhooks "sigs.k8s.io/jobset/pkg/webhooks"
)

func (c *checker) checkJobSet(found *jobset.JobSet, result *report) {
	manager := c.newManager()
	if err := jobsetwebhooks.Setup(manager); err != nil {
		panic(err)
	}
	setDefaults(found)
	kind := metav1.GroupVersionKind{Group: "jobset.x-k8s.io", Version: "v1alpha2", Kind: "JobSet"}
	admit(manager, "mutate", found, kind, result)
	admit(manager, "validate", found, kind, result)
	for _, replicated := range found.Spec.ReplicatedJobs {
		job := &batchv1.Job{Spec: *replicated.Template.Spec.DeepCopy()}
		job.Name = found.Name + "-" + replicated.Name + "-0"
		checkJob(job, result)
		checkRights(job, result)
		checkExpansion(job, result)
	}
}

// setDefaults fills in what the CRD and the mutating webhook do before the validating one looks.
func setDefaults(found *jobset.JobSet) {
	if found.Namespace == "" {
		found.Namespace = metav1.NamespaceDefault
	}
	if found.Spec.SuccessPolicy == nil {
		found.Spec.SuccessPolicy = &jobset.SuccessPolicy{Operator: jobset.OperatorAll}
	}
	for i := range found.Spec.ReplicatedJobs {
		if found.Spec.ReplicatedJobs[i].GroupName == "" {
			found.Spec.ReplicatedJobs[i].GroupName = "default"
		}
	}
}

// checkJob validates the Job that JobSet's controller creates, as the API server does.
func checkJob(job *batchv1.Job, result *report) {
	batchdefaults.SetObjectDefaults_Job(job)
	internal := &batch.Job{}
	if err := batchdefaults.Convert_v1_Job_To_batch_Job(job, internal, nil); err != nil {
		result.problem("Job: %v", err)
		return
	}
	// The API server generates the selector and these labels.
	internal.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"controller-uid": "1"}}
	labels := map[string]string{"controller-uid": "1", "job-name": job.Name}
	for name, value := range internal.Spec.Template.Labels {
		labels[name] = value
	}
	internal.Spec.Template.Labels = labels
	for _, problem := range batchvalidation.ValidateJobSpec(&internal.Spec, nil, corevalidation.PodValidationOptions{}) {
		result.problem("Job: %s", problem.Error())
	}
	result.checked("validation of Job")
}

func checkRights(job *batchv1.Job, result *report) {
	evaluator := must(policy.NewEvaluator(policy.DefaultChecks(), nil))
	level := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
	pod := &job.Spec.Template
	verdict := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	if !verdict.Allowed {
		result.problem("restricted Pod Security Standard: %s: %s", verdict.ForbiddenReason(), verdict.ForbiddenDetail())
	}
	result.checked("restricted pods")
}

// checkExpansion lets the kubelet's code expand each argument with a mapping that marks whatever it
// is asked for.
func checkExpansion(job *batchv1.Job, result *report) {
	const mark = "\x00"
	for _, container := range job.Spec.Template.Spec.Containers {
		for _, argument := range append(container.Command, container.Args...) {
			if strings.Contains(expansion.Expand(argument, func(string) string { return mark }), mark) {
				result.problem("the kubelet expands the argument %q", argument)
			}
		}
	}
	result.checked("literal arguments")
}
