"""Google Cloud Dataflow: options of its jobs, jobs that outlive their driver, Flex Templates."""
