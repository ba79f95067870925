"""What `MessageQueueTrigger` of Airflow's common messaging provider finds here."""
